"""The connection to Discord: what we ask to be told, where the server is, and that every interaction is answered."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import discord
import structlog
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.answering import rejections_told, tell_error
from bot.views.dialog import LimnerDialog, answers_of
from bot.views.double_click import Presses
from generation.errors import RequestRejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from bot.catalogue import CatalogueReader
    from bot.config import Config
    from bot.deleting import Deleting
    from bot.delivery import Courier
    from bot.editing import Editing
    from bot.inspecting import Inspector
    from bot.masks import Masks
    from bot.message_routes import MessageRoutes
    from bot.messages import Messages
    from bot.metrics import Metrics
    from bot.moderator_notices import ModeratorNotices
    from bot.orders import Orders
    from bot.owners import Owners
    from bot.pauses import Pauses
    from bot.personal_data import PersonalDataDesk
    from bot.rules.rates import Rates
    from bot.rules.server_rules import ServerRules
    from bot.series_orders import SeriesOrders
    from bot.shards import Shards
    from bot.standing import Standing
    from bot.status import StatusWriter
    from bot.upload_orders import UploadOrders
    from bot.uploads import Uploads
    from bot.views.button import LimnerItem
    from generation.catalogue import Catalogue
    from generation.clock import Clock
    from generation.queue.dispatcher import Dispatcher
    from storage.storage import Storage

COMMANDS_HASH = "commands_hash"  # the setting that remembers what Discord was last told
# So many orders are placed side by side, the others wait their turn. Storage is no faster with more, and the event loop
# is slower at answering the moment that hundreds come at once.
ORDERS_AT_ONCE = 4
API_VERSION_PATH = "/api/v10"


class ButtonUnknown(RequestRejected):
    """A button that no version of us has, or that this one has no more."""

    key = "button_unknown"


class CommandOutdated(RequestRejected):
    """A command in a form that we do not have (any more)."""

    key = "command_outdated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What commands and buttons work with. Built once, in `bot/app.py`."""

    config: Config
    storage: Storage
    catalogue: Catalogue
    catalogue_reader: CatalogueReader
    dispatcher: Dispatcher
    orders: Orders
    series_orders: SeriesOrders
    uploads: Uploads
    upload_orders: UploadOrders
    inspector: Inspector
    editing: Editing
    masks: Masks
    courier: Courier
    writer: StatusWriter
    deleting: Deleting
    personal_data: PersonalDataDesk
    routes: MessageRoutes
    messages: Messages
    metrics: Metrics
    look: Callable[[], Standing]
    owners: Owners
    notices: ModeratorNotices
    rates: Rates
    server_rules: ServerRules
    pauses: Pauses


class LimnerClient(discord.AutoShardedClient):
    """One connection per shard. `bot/app.py` gives it its `services`, commands and buttons before it logs in."""

    services: Services

    def __init__(self, *, api_url: str, shards: Shards, clock: Clock) -> None:
        # We have no voice: warnings that packages for it are missing would puzzle people.
        discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False
        # No privileged intent, and nothing about members or messages: interactions come without being asked for.
        super().__init__(
            intents=discord.Intents(guilds=True),
            allowed_mentions=discord.AllowedMentions.none(),
            shard_count=shards.count or None,
            shard_ids=list(shards.ids) or None,  # type: ignore[arg-type]  # its own default
            chunk_guilds_at_startup=False,
            max_messages=None,
        )
        self.tree = LimnerTree(self, Presses(clock))
        self.placing = asyncio.Semaphore(ORDERS_AT_ONCE)
        self._api_url = api_url
        self._buttons: tuple[type[LimnerItem[Any]], ...] = ()
        self._dialogs: tuple[type[LimnerDialog], ...] = ()

    @property
    def connected(self) -> bool:
        """Whether all shards can hear Discord now: `is_ready` stays true while a lost connection is made anew."""
        return self.is_ready() and not any(shard.is_closed() for shard in self.shards.values())

    def listen_to(self, *buttons: type[LimnerItem[Any]]) -> None:
        """Answer presses of these families of buttons, also on messages of long ago."""
        self.add_dynamic_items(*buttons)
        self._buttons += buttons

    def take_answers_to(self, *dialogs: type[LimnerDialog]) -> None:
        """Take these forms back, also those that were shown before a restart."""
        self._dialogs += dialogs

    async def login(self, token: str) -> None:
        """To the server at `discord.api_url`, where that is set."""
        if self._api_url:
            Route.BASE = api_root(self._api_url)
        await super().login(token)

    async def setup_hook(self) -> None:
        """Called by discord.py after the login, before the gateway connects."""
        if self.services.config.discord.sync_commands:
            await self._sync_commands()

    async def launch_shards(self) -> None:
        """Connect to the gateway that the server at `discord.api_url` names, also when a session starts anew."""
        if self._api_url:
            _, gateway, _ = await self.http.get_bot_gateway()
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        await super().launch_shards()

    async def on_ready(self) -> None:
        """Connected, on all shards."""
        structlog.get_logger(__name__).info("ready", user=str(self.user), guilds=len(self.guilds))

    async def on_interaction(self, interaction: Interaction) -> None:
        """Take forms back, and answer buttons that nothing else answers: left over from another version, or forged."""
        match interaction.type:
            case discord.InteractionType.component:
                known = _stands_there(interaction) and any(button.is_meant(interaction) for button in self._buttons)
            case discord.InteractionType.modal_submit:
                known = await self._take_back(interaction)
            case _:
                return
        if not known:
            await tell_error(interaction, ButtonUnknown())

    async def _take_back(self, interaction: Interaction) -> bool:
        """Hand a form that came back to its dialog. False: no version of us has it, or this one has it no more."""
        for dialog in self._dialogs:
            if match := dialog.template.fullmatch(_custom_id(interaction)):
                await self.tree.submit(interaction, dialog, match)
                return True
        return False

    async def _sync_commands(self) -> None:
        """Tell Discord our commands, but only when they changed: it takes its time, and allows 200 new ones a day.

        That Discord still has as many is asked too: somebody may have removed them, or this is another Discord.
        """
        settings, application, tree = self.services.storage.settings, cast(int, self.application_id), self.tree
        translator = tree.translator
        commands = [
            command.to_dict(tree) if translator is None else await command.get_translated_payload(tree, translator)
            for command in tree.get_commands()
        ]
        digest = hashlib.sha256(json.dumps(commands, sort_keys=True).encode()).hexdigest()
        known = await settings.get("user", application, COMMANDS_HASH)
        if known == digest and len(await tree.fetch_commands()) == len(commands):
            return
        await tree.sync()
        await settings.set("user", application, COMMANDS_HASH, digest)
        structlog.get_logger(__name__).info("commands_synced", commands=[command["name"] for command in commands])


Interaction: TypeAlias = discord.Interaction[LimnerClient]


class LimnerTree(app_commands.CommandTree[LimnerClient]):
    """Commands, and what is done when one of them, a button or a form raises: the person is told."""

    def __init__(self, client: LimnerClient, presses: Presses) -> None:
        super().__init__(client)
        self._presses = presses

    async def interaction_check(self, interaction: Interaction, /) -> bool:
        """Whether a command shall be looked at; who goes too fast is told. Suggestions while typing are free."""
        if interaction.type is discord.InteractionType.autocomplete:
            return True
        try:
            _count(interaction)
        except RequestRejected as rejected:
            await tell_error(interaction, rejected)
            return False
        return True

    async def on_error(self, interaction: Interaction, error: app_commands.AppCommandError, /) -> None:
        """What a command did not foresee. What it refuses on purpose has been told already."""
        if isinstance(error, app_commands.CommandInvokeError):
            await tell_error(interaction, error.original)
        else:  # Discord still shows a form of the command that is not ours any more, or it was forged
            structlog.get_logger(__name__).info("command_refused", error=str(error))
            await tell_error(interaction, CommandOutdated())

    async def press(self, interaction: Interaction, button: LimnerItem[Any]) -> None:
        """Do what a button does. discord.py would only log what it raises."""
        try:
            async with rejections_told(interaction):
                _count(interaction)
                self._presses.refuse_second(interaction.user.id, button.custom_id)
                await button.press(interaction)
        except Exception as error:  # noqa: BLE001 – whatever it is, the person is told
            await tell_error(interaction, error)

    async def submit(self, interaction: Interaction, dialog: type[LimnerDialog], match: re.Match[str]) -> None:
        """Do what a form that came back asks for."""
        try:
            async with rejections_told(interaction):
                _count(interaction)
                await dialog.answer(interaction, match, answers_of(interaction))
        except Exception as error:  # noqa: BLE001 – whatever it is, the person is told
            await tell_error(interaction, error)


def _count(interaction: Interaction) -> None:
    """Raises `TooFast` for who does too much at once."""
    interaction.client.services.rates.interactions.take(interaction.user.id, str(interaction.id))


def _stands_there(interaction: Interaction) -> bool:
    """Whether what was pressed is in the message: discord.py passes over what is not, and the person would wait."""
    data, message = cast(dict[str, object], interaction.data), interaction.message
    pressed = data.get("component_type"), data.get("custom_id")
    rows = [row for row in message.components if isinstance(row, discord.ActionRow)] if message else []
    return any((child.type.value, child.custom_id) == pressed for row in rows for child in row.children)


def _custom_id(interaction: Interaction) -> str:
    return str(cast(dict[str, object], interaction.data).get("custom_id"))


def api_root(url: str) -> str:
    """`http://proxy:8080` → `http://proxy:8080/api/v10`; an address that has a path already is taken as it is."""
    address = yarl.URL(url)
    return str(address.with_path(API_VERSION_PATH) if address.path in ("", "/") else address).rstrip("/")
