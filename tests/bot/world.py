"""The whole bot on an in-memory Discord: real storage, queue and worker process; only Discord is not the real one.

How the two fit together (whoever embeds the bot in simcord has to do the same):

- `simcord.run(client, shard_count=1)` logs the client in; then, outside of anything that the bot does but inside of
  the `async with`, `app.working()` starts the tasks that wait for ever. simcord waits after each action for whatever
  the *bot* started (it knows by a context variable that callbacks of the bot inherit), so tasks of `working()` are not
  waited for, and what they do to a message happens later: `World.until` waits for that in real time.
- What `working()` starts inherits the context of `simcord.run`, in which webhook edits go to the in-memory Discord.
- An action returns when the interaction is answered: with the status message, long before the pictures.
- Ids and times in simcord begin anew in each world, so a database belongs to one world: interaction ids are the keys
  that make orders idempotent.
- simcord's clock stands still until `env.advance_time`; the bot's own durations come from `World.clock`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import discord
from simcord.actors import MemberActor
from simcord.builders import ChannelHandle, GuildHandle
from simcord.env import Env
from simcord.results import InteractionResult

from bot.app import App, open_app
from bot.config import load_config
from bot.demo_cdn import DemoCdn
from bot.views.double_click import DOUBLE_CLICK_SECONDS
from generation.clock import SystemClock
from generation.engine.settings import EngineSettings

PAINTER = "tests.bot.drawing_painter:DrawingPainter"
PATIENCE = 60.0  # seconds that anything in these tests may take at most, on a busy machine
QUICK = EngineSettings(heartbeat_seconds=0.2, first_pause=0.01, longest_pause=0.1, painter=PAINTER)
MODERATOR = discord.Permissions(moderate_members=True)

SETTINGS = """
[generation]
devices = ["cpu"]
preview_every = 1

[storage]
database = "sqlite+aiosqlite:///limner.sqlite3"
files = "files"

[queue]
instance = "here"
stop_grace_seconds = 8
"""


@dataclass(slots=True)
class MovableClock:
    """The machine's clock, moved forward by hand, or stopped at a moment. What time it is, is moved by itself.

    A day does not end while a test runs, for then there are new credits.
    """

    system: SystemClock = field(default_factory=SystemClock)
    day: date = field(default_factory=lambda: datetime.now(UTC).date())
    later: timedelta = timedelta()
    ahead: float = 0.0
    stopped_at: float | None = None

    def now(self) -> datetime:
        return min(self.system.now(), datetime.combine(self.day, time.max, UTC)) + self.later

    def monotonic(self) -> float:
        return self.system.monotonic() + self.ahead if self.stopped_at is None else self.stopped_at


@dataclass(slots=True, kw_only=True)
class World:
    """A server with a channel, a member, a stranger and a moderator, and the bot in it."""

    folder: Path
    env: Env
    app: App
    clock: MovableClock
    guild: GuildHandle
    channel: ChannelHandle
    member: MemberActor
    stranger: MemberActor
    moderator: MemberActor
    running: AsyncExitStack
    engine_settings: EngineSettings

    @property
    def held(self) -> str:
        """A word for prompts: what has it is begun, and then not done before `let_go`."""
        return f"held:{self.folder / 'let_go'}"

    def let_go(self) -> None:
        """Let what is held be drawn to its end, now and from now on."""
        (self.folder / "let_go").touch()

    async def begun(self, message: discord.Message) -> None:
        """Wait until a job is being drawn, and its message says so in percent."""
        await self.until(lambda: "%" in self.now(message).content, about=lambda: self.now(message).content)

    async def imagine(self, prompt: str, *, by: MemberActor | None = None, **options: object) -> discord.Message:
        """Order, and the status message as it is at once."""
        result = await (by or self.member).slash(self.channel, "imagine", prompt=prompt, **options)
        return public(result)

    async def drawn(self, prompt: str, *, by: MemberActor | None = None, **options: object) -> discord.Message:
        """Order, wait for the pictures; the message with them."""
        return await self.finished(await self.imagine(prompt, by=by, **options))

    async def refused(self, prompt: str, *, by: MemberActor | None = None, **options: object) -> str:
        """Order what cannot be taken; the sentence that says why."""
        return private(await (by or self.member).slash(self.channel, "imagine", prompt=prompt, **options))

    async def press(self, message: discord.Message, label: str, *, by: MemberActor | None = None) -> InteractionResult:
        """Press the button with that label or emoji, as the message is now, a while after the last press."""
        self.clock.ahead += DOUBLE_CLICK_SECONDS
        return await self.press_at_once(message, label, by=by)

    async def press_at_once(
        self, message: discord.Message, label: str, *, by: MemberActor | None = None
    ) -> InteractionResult:
        """Press it without a pause."""
        message = self.now(message)
        custom_id = dict(zip(labels(message), custom_ids(message), strict=True))[label]
        return await (by or self.member).click(message, custom_id=custom_id)

    async def credits(self, of: MemberActor | None = None) -> int | None:
        """What a member may spend."""
        balance = await self.app.services.storage.credits.balance((of or self.member).id, self.guild.id, allowance=100)
        return balance.available

    async def finished(self, message: discord.Message) -> discord.Message:
        """The message when its job has come to its pictures."""
        await self.until(lambda: "Done in" in self.now(message).content, about=lambda: self.now(message).content)
        return self.now(message)

    def now(self, message: discord.Message) -> discord.Message:
        """The message as it is now."""
        return next(found for found in self.messages() if found.id == message.id)

    def messages(self, channel: ChannelHandle | None = None) -> list[discord.Message]:
        """All messages that everyone in the channel sees, oldest first."""
        return [message for message in (channel or self.channel).history() if not message.flags.ephemeral]

    def bytes_of(self, message: discord.Message) -> bytes:
        """The file of a message."""
        (attachment,) = message.attachments
        data = self.env.backend.cdn.get(attachment.url)
        assert data is not None
        return data

    async def until(
        self, condition: Callable[[], object], *, about: Callable[[], object] = lambda: "", seconds: float = PATIENCE
    ) -> None:
        """Wait until something is so; fails after `seconds` and says what `about` says."""
        await wait_for(condition, about=about, seconds=seconds)

    async def all_told(self) -> None:
        """Wait until the end of every job that has ended is noted as delivered."""
        async with asyncio.timeout(PATIENCE):
            while await self.app.services.storage.jobs.undelivered():  # noqa: ASYNC110 – there is nothing to wait on
                await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End the bot in good order; Discord stays."""
        await self.running.aclose()

    async def start(self) -> None:
        """Start the bot anew on the same database."""
        self.app = await self.running.enter_async_context(
            open_app(
                load_config(self.folder / "config.toml"),
                engine_settings=self.engine_settings,
                clock=self.clock,
                cdn=DemoCdn,
            )
        )
        await self.env.restart_bot(self.app.client)
        await self.work()

    async def work(self) -> None:
        """Begin to draw and to deliver, where that did not begin with the world."""
        await self.running.enter_async_context(self.app.working())

    async def restart(self) -> None:
        """Both."""
        await self.stop()
        await self.start()


@asynccontextmanager
async def open_world(
    folder: Path,
    *,
    settings: str = SETTINGS,
    engine_settings: EngineSettings = QUICK,
    working: bool = True,
    shard_id: int | None = None,
) -> AsyncIterator[World]:
    """A new world whose bot keeps its things in `folder`. Without `working`, orders are taken but nothing is drawn.

    `shard_id`: its server is of that shard.
    """
    (folder / "config.toml").write_text(settings)
    clock = MovableClock()
    async with AsyncExitStack() as outer:
        running = await outer.enter_async_context(AsyncExitStack())
        app = await running.enter_async_context(
            open_app(load_config(folder / "config.toml"), engine_settings=engine_settings, clock=clock, cdn=DemoCdn)
        )
        # What `simcord.run` does, without the part that pytest's fixtures cannot undo: they end in another context.
        env = Env(app.client, shard_count=app.client.shard_count or 1, settle_timeout=PATIENCE)
        await env.start()
        outer.push_async_callback(_shut_down, env)
        guild = env.create_guild("Harbour", shard_id=shard_id)
        world = World(
            folder=folder,
            env=env,
            app=app,
            clock=clock,
            guild=guild,
            channel=guild.create_text_channel("pictures"),
            member=guild.add_member(env.create_user("ada")),
            stranger=guild.add_member(env.create_user("bob")),
            moderator=guild.add_member(env.create_user("mo"), roles=[guild.create_role("Mods", permissions=MODERATOR)]),
            running=running,
            engine_settings=engine_settings,
        )
        if working:
            await world.work()
        try:
            yield world
        finally:
            await world.stop()


async def _shut_down(env: Env) -> None:
    await env.shutdown()
    env.raise_errors()


async def wait_for(
    condition: Callable[[], object], *, about: Callable[[], object] = lambda: "", seconds: float = PATIENCE
) -> None:
    """Wait in real time until `condition()` is true."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not condition():
        assert loop.time() < end, f"not within {seconds} s: {about()}"
        await asyncio.sleep(0.02)


def public(result: InteractionResult) -> discord.Message:
    """The answer to an interaction, which everyone sees."""
    assert result.response is not None
    assert not result.response.ephemeral, result.response.content
    return result.response.message


def private(result: InteractionResult) -> str:
    """The one sentence that only the person saw."""
    said = [message for message in (result.response, *result.followups) if message is not None]
    assert len(said) == 1
    assert said[0].ephemeral, said[0].content
    return said[0].content


def buttons(message: discord.Message) -> list[discord.Button]:
    """A message's buttons, in order."""
    rows = [row for row in message.components if isinstance(row, discord.ActionRow)]
    return [button for row in rows for button in row.children if isinstance(button, discord.Button)]


def labels(message: discord.Message) -> list[str]:
    """What stands on a message's buttons, in order."""
    return [button.label or str(button.emoji) for button in buttons(message)]


def custom_ids(message: discord.Message) -> list[str]:
    """What a message's buttons send, in order."""
    return [str(button.custom_id) for button in buttons(message)]
