"""Pages of /help, /styles, /loras and /models: what they show, how one turns them, and examples to be drawn.

Only the person sees them. Which list and which page stands in the custom_ids; what is on it is looked up anew, so that
a page that is turned after a restart shows what there is then.
"""

from __future__ import annotations

import asyncio
import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import discord

from bot.answering import answer_later, customer_of, order
from bot.examples import sheet
from bot.help import help_pages
from bot.listings import Listing, Page, lora_pages, model_pages, style_pages
from bot.message_routes import MENTION_NOBODY
from bot.views.button import LimnerItem, LimnerMenu, view_of

if TYPE_CHECKING:
    from bot.client import Interaction

LISTINGS: Mapping[str, Listing] = {
    "help": help_pages,
    "styles": style_pages,
    "loras": lora_pages,
    "models": model_pages,
}
_KIND = f"(?P<kind>{'|'.join(LISTINGS)})"
MAX_ENTRIES = 25  # of one of Discord's menus
EXAMPLE_PROMPT = "a red boat on the sea"  # what is drawn as an example, and what the shipped ones show


class PageButton(
    LimnerItem[discord.ui.Button[Any]], template=re.compile(rf"limner:page:{_KIND}:(?P<page>[0-9]{{1,3}})")
):
    """Turns to a page, counted from 0: `limner:page:<list>:<page>`."""

    def __init__(self, kind: str, page: int, *, emoji: str | None = None) -> None:
        super().__init__(discord.ui.Button(emoji=emoji, label=None, custom_id=f"limner:page:{kind}:{page}", row=1))
        self.kind, self.page = kind, page

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: discord.ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(match["kind"], int(match["page"]))

    async def press(self, interaction: Interaction) -> None:
        await turn(interaction, self.kind, self.page)


class PageMenu(LimnerMenu, template=re.compile(r"limner:pages:(?P<kind>help)")):
    """The pages by their titles: `limner:pages:help`."""

    async def press(self, interaction: Interaction) -> None:
        await turn(interaction, self.about, int(self.chosen) if re.fullmatch(r"[0-9]{1,3}", self.chosen) else 0)


class ExampleMenu(LimnerMenu, template=re.compile(r"limner:example:(?P<kind>styles|loras|models)")):
    """Orders one picture with what is chosen, to see what this server makes of it: `limner:example:<list>`."""

    async def press(self, interaction: Interaction) -> None:
        orders = interaction.client.services.orders
        request = orders.parser.parse(f"{EXAMPLE_PROMPT} --n 1 --{self.about.removesuffix('s')} {self.chosen}")
        await order(interaction, orders.imagine(customer_of(interaction), request))


async def show(interaction: Interaction, kind: str) -> None:
    """Answer with the first page."""
    await answer_later(interaction)
    pages = await LISTINGS[kind](interaction)
    file = await _file(pages[0])
    await interaction.followup.send(
        pages[0].content,
        ephemeral=True,
        file=file or discord.utils.MISSING,
        view=_view(interaction, kind, pages, 0) or discord.utils.MISSING,
        allowed_mentions=MENTION_NOBODY,
    )


async def turn(interaction: Interaction, kind: str, number: int) -> None:
    """Put another page in the place of this one; of a list that has become shorter, the last."""
    await interaction.response.defer()
    pages = await LISTINGS[kind](interaction)
    number = min(number, len(pages) - 1)
    file = await _file(pages[number])
    await interaction.edit_original_response(
        content=pages[number].content,
        attachments=[] if file is None else [file],
        view=_view(interaction, kind, pages, number),
        allowed_mentions=MENTION_NOBODY,
    )


async def _file(page: Page) -> discord.File | None:
    if not page.shown:
        return None
    return discord.File(io.BytesIO(await asyncio.to_thread(sheet, page.shown)), "examples.webp")


def _view(interaction: Interaction, kind: str, pages: list[Page], number: int) -> discord.ui.View | None:
    """◀ and ▶ where they lead somewhere, and the menu that belongs to the list."""
    items: list[LimnerItem[Any]] = []
    if kind == "help":
        items.append(PageMenu(kind, _titles(pages, number)))
    elif pages[number].names:
        items.append(ExampleMenu(kind, _examples(interaction, kind, pages[number])))
    if number > 0:
        items.append(PageButton(kind, number - 1, emoji="◀️"))
    if number + 1 < len(pages):
        items.append(PageButton(kind, number + 1, emoji="▶️"))
    return view_of(*items) if items else None


def _titles(pages: list[Page], number: int) -> discord.ui.Select[Any]:
    options = [
        discord.SelectOption(label=page.title[:100], value=str(index), default=index == number)
        for index, page in enumerate(pages[:MAX_ENTRIES])
    ]
    return discord.ui.Select(custom_id="limner:pages:help", options=options, row=0)


def _examples(interaction: Interaction, kind: str, page: Page) -> discord.ui.Select[Any]:
    label = interaction.client.services.messages.say("pages.draw", interaction.locale.value)
    options = [discord.SelectOption(label=name[:100], value=name[:100]) for name in page.names]
    return discord.ui.Select(custom_id=f"limner:example:{kind}", placeholder=label, options=options, row=0)
