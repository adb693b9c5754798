"""The in-memory Discord of the demo, and the page of its one channel, which changes by itself while it is looked at.

simcord's Preview publishes a page's contents when it is told to, and takes a click on the newest publication only. The
bot edits its messages at any time, a preview every two seconds, so both are done here in Discord's manner: the page is
published anew when it asks how things stand and something has happened, and a click is good as long as the buttons of
its message are the ones that the person saw. (`Preview.refresh()` would publish too, but a click that comes in the
meantime is lost and leaves the page waiting for its outcome for ever.)

Some of what is overridden here is internal to simcord; tests/test_demo.py shows when another version has moved it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import discord
import simcord
from simcord.preview import Preview

from bot.client import LimnerClient
from bot.demo import DemoNotInstalled, PortTaken
from generation.picture import open_picture

MODERATOR = discord.Permissions(moderate_members=True)
ADMINISTRATOR = discord.Permissions(administrator=True)
# What an action of a person may take until the bot has answered, on a machine that is busy drawing.
SETTLE_SECONDS = 30.0
# How far back a page may be behind: publications of one page whose buttons are remembered.
REMEMBERED = 50
PICTURE_TYPES = ("image/png", "image/webp", "image/jpeg")  # that the bot sends


@asynccontextmanager
async def open_page(client: LimnerClient, port: int, *, topic: str) -> AsyncIterator[LivePage]:
    """Log the bot in to an in-memory server, and serve its channel's page.

    In it are two members, a moderator, and whoever owns the bot.

    Raises `PortTaken` or `DemoNotInstalled`.
    """
    async with simcord.run(client, shard_count=1, settle_timeout=SETTLE_SECONDS, check_errors=False) as env:
        # simcord's clock stands still at one moment, from which ids are made: these are the same in every demo, and
        # so whoever keeps the storage finds their credits again; those of messages and interactions are not.
        server = env.create_guild("Limner")
        channel = server.create_text_channel("drawings", topic=topic)
        moderators = server.create_role("Moderators", permissions=MODERATOR)
        people = [
            server.add_member(env.create_user("ada")),
            server.add_member(env.create_user("ben")),
            server.add_member(env.create_user("moderator"), roles=[moderators]),
            server.add_member(
                env.create_user("owner"), roles=[server.create_role("Administrators", permissions=ADMINISTRATOR)]
            ),
        ]
        _belong_to(client, people[-1].id)
        await put_clock_forward(env)
        assert client.user is not None
        await client.user.edit(username="Limner")
        async with AsyncExitStack() as stack:
            try:
                page = await stack.enter_async_context(LivePage(env, channel, people, port=port))
            except simcord.SetupError as error:
                if isinstance(error.__cause__, OSError):
                    raise PortTaken(port=port) from error
                raise DemoNotInstalled(detail=str(error)) from error
            yield page


def _belong_to(client: LimnerClient, owner_id: int) -> None:
    """In simcord bots own themselves; real ones belong to people."""
    ask = client.http.application_info

    async def application_info() -> Any:
        owner = {"id": str(owner_id), "username": "owner", "discriminator": "0", "avatar": None}
        return {**await ask(), "owner": owner}

    client.http.application_info = application_info  # type: ignore[method-assign]


async def put_clock_forward(env: simcord.Env) -> None:
    """To the real time."""
    await env.advance_time(max(0.0, (datetime.now(UTC) - env.now()).total_seconds()))


class LivePage(Preview):  # type: ignore[misc]  # simcord is not typed for us
    """An async context manager that serves the page. `url` is its address; `wait_closed()` ends when a person ends it.

    Everything runs on the event loop of `env`. The in-memory Discord's clock is put forward to the real time with every
    action, so that messages bear the time at which they are written.
    """

    _MAX_MEDIA_BYTES = 1024**3  # what a channel of fifty grids of full SDXL comes to, twice

    def __init__(
        self, env: simcord.Env, channel: simcord.ChannelHandle, viewers: Sequence[simcord.MemberActor], *, port: int
    ) -> None:
        super().__init__(
            env,
            channel,
            tuple(viewers),
            layout="channel",
            display="responsive",
            width=1280,
            height=900,
            locale="en-US",
            timezone="UTC",
            presentation_time=None,
            assets=None,
            port=port,
        )
        self._people = {person.name: str(person.id) for person in viewers}
        self._turn = asyncio.Lock()
        self._requests_shown: dict[str, int] = {}
        self._buttons_shown: defaultdict[str, dict[int, Mapping[str, object]]] = defaultdict(dict)

    def _page_payload(self, page: Any) -> dict[str, Any]:
        """What a page gets when it asks, which it does twice a second."""
        # Whatever the bot does to a message is a request to Discord. An action in progress publishes its own result.
        requests = len(self.env.http_requests)
        if self._requests_shown.get(page.id) != requests and self._active_action is None:
            self._requests_shown[page.id] = requests
            self._advance_presentation_time()
            self._publish(page, reason="refresh")
        payload: dict[str, Any] = super()._page_payload(page)
        return payload

    def _publish(self, page: Any, **options: Any) -> None:
        super()._publish(page, **options)
        shown = self._buttons_shown[page.id]
        shown[page.revision] = {
            message_id: message.get("components") for message_id, message in page.snapshot["messages"].items()
        }
        shown.pop(page.revision - REMEMBERED, None)

    async def _prepare_asset(self, context_id: str | None, asset_id: str, **options: Any) -> tuple[str, bytes, str]:
        """A picture's type, bytes and name.

        Preview has each file decoded and written anew by a process of its own first, as it may come from anybody. That
        takes a second or more where a model draws on the same CPU, when the next preview is there already.
        """
        _, record, data = self._authorized_asset(context_id, asset_id)
        if any(options.values()) or record.contentType not in PICTURE_TYPES:
            prepared: tuple[str, bytes, str] = await super()._prepare_asset(context_id, asset_id, **options)
            return prepared
        if not record.validated:
            with open_picture(data) as picture:
                record.width, record.height = picture.size
            record.mediaKind, record.displayContentType, record.validated = "image", record.contentType, True
        return record.contentType, data, record.filename

    async def _action(self, context_id: str | None, body: Any) -> dict[str, Any]:
        """A click, a command, a change of viewer: one at a time, as Preview takes no two."""
        async with self._turn:
            with contextlib.suppress(TimeoutError):  # the bot is still busy with something; the action will say so
                await put_clock_forward(self.env)
            page = self._get_page(context_id)
            if isinstance(body, Mapping):
                if self._still_good(page, body):
                    body = {**body, "published_revision": page.revision}
                body = {**body, **typed_command(page, body, self._people)}
            receipt: dict[str, Any] = await super()._action(context_id, body)
            return receipt

    def _still_good(self, page: Any, body: Mapping[str, Any]) -> bool:
        """Whether an action on an older publication means the same on the newest."""
        shown = self._buttons_shown[page.id]
        seen, target = body.get("published_revision"), body.get("target_id")
        if seen not in shown or page.revision not in shown:
            return False
        return target is None or shown[seen].get(str(target)) == shown[page.revision].get(str(target))


def typed_command(page: Any, body: Mapping[str, Any], people: Mapping[str, str]) -> dict[str, Any]:
    """What makes a message the command that it is when it is typed or pasted whole in Discord.

    `/imagine a boat`, `/imagine prompt:a boat style:ink`, `/quota set user:@ada credits:4`: the page itself knows only
    what was chosen from its lists. `people` are the ids of those who can be mentioned, by name.
    """
    if body.get("kind") != "send_message":
        return {}
    text = str(body.get("content")).strip()
    for command in page.command_catalog.get("entries", []):
        rest = f"{text} ".removeprefix(f"/{command['invocation']} ")
        types = {option["name"]: option["type"] for option in command["options"]}
        options = typed_options(rest, types, people)
        needed = {option["name"] for option in command["options"] if option.get("required")}
        if rest != f"{text} " and needed <= options.keys():
            return {
                "kind": "run_command",
                "command_id": command["commandId"],
                "path": command["path"],
                "schema_fingerprint": command["schemaFingerprint"],
                "options": options,
            }
    return {}


def typed_options(text: str, types: Mapping[str, str], people: Mapping[str, str]) -> dict[str, str]:
    """`a boat style:ink` → the first option, which needs no name, and those that are named."""
    first, *named = re.split(rf"(?:^|\s+)({'|'.join(types)}):" if types else "$^", text)
    options = {next(iter(types)): first} if types and first.strip() else {}
    options |= dict(zip(named[::2], named[1::2], strict=True))
    return {
        name: people.get(value.strip().removeprefix("@"), value) if types[name] == "user" else value.strip()
        for name, value in options.items()
    }
