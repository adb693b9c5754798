"""What /styles, /loras and /models list, page by page: words, and the example pictures beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import discord

from bot.examples import Shown, examples
from bot.flag_values import RAW
from bot.wording import SEPARATOR, code
from generation.errors import LoraRefused, RequestRejected
from generation.loras import check_lora
from generation.weights import check_weights

if TYPE_CHECKING:
    from bot.client import Interaction, Services
    from generation.catalogue import LoraSpec, ModelSpec, Style

PER_PAGE = 10
LONGEST = 1900  # characters of a page; a message has 2,000
ROOM_FOR_TITLE = 250  # characters of it, with what is said below the lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page: its words, the pictures beside them, and the names that an example can be ordered of."""

    title: str
    content: str
    shown: tuple[Shown, ...] = ()
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing of a list: a line about it, its name, and the name of its example picture if there is one."""

    line: str
    name: str
    example: str


Listing: TypeAlias = "Callable[[Interaction], Coroutine[Any, Any, list[Page]]]"


async def style_pages(interaction: Interaction) -> list[Page]:
    """All styles in the order of their file, and `raw`."""
    services, locale = interaction.client.services, interaction.locale.value
    say, styles = services.messages.say, services.catalogue.styles

    def line(style: Style) -> str:
        return say("styles.line", locale, name=code(style.name), description=plain(style.description))

    raw = Entry(line=say("styles.raw", locale), name=RAW, example="boat")
    entries = [Entry(line=line(style), name=style.name, example=f"style-{style.name}") for style in styles.values()]
    return _pages(services, locale, "styles", [raw, *entries])


async def lora_pages(interaction: Interaction) -> list[Page]:
    """All LoRAs that people may name: what they call themselves, what triggers them, which models they fit."""
    services, locale = interaction.client.services, interaction.locale.value
    say, catalogue = services.messages.say, services.catalogue

    def line(lora: LoraSpec) -> str:
        fitting = [name for name, model in catalogue.models.items() if _fits(lora, model)]
        details = [say("loras.fits", locale, models=", ".join(map(code, fitting)) or "–")]
        if lora.trigger:
            details.insert(0, say("loras.trigger", locale, trigger=code(lora.trigger)))
        if lora.title and lora.title != lora.name:
            details.insert(0, code(lora.title))
        return say("loras.line", locale, name=code(lora.name), details=SEPARATOR.join(details))

    found = catalogue.offered_loras()
    entries = [Entry(line=line(lora), name=name, example=f"lora-{name}") for name, lora in found.items()]
    return _pages(services, locale, "loras", entries)


async def model_pages(interaction: Interaction) -> list[Page]:
    """All models: their size, their steps, what they can do beside drawing, and whether they are there."""
    services, locale = interaction.client.services, interaction.locale.value
    catalogue = services.catalogue
    absent = await asyncio.to_thread(lambda: {name for name, model in catalogue.models.items() if _is_absent(model)})
    entries = [
        Entry(
            line=_model_line(services, model, locale, absent=name in absent and name != catalogue.default_model),
            name=name,
            example=f"model-{name}",
        )
        for name, model in catalogue.models.items()
    ]
    return _pages(services, locale, "models", entries)


def in_portions(lines: Sequence[str], *, room: int = LONGEST, most: int = PER_PAGE) -> list[list[str]]:
    """Lines for one page after another: up to `most` on each, and up to `room` characters. None is longer than that."""
    portions: list[list[str]] = [[]]
    for line in lines:
        cut = line if len(line) <= room else line[: room - 1] + "…"
        if portions[-1] and (len(portions[-1]) == most or len("\n".join([*portions[-1], cut])) > room):
            portions.append([])
        portions[-1].append(cut)
    return portions


def plain(text: str) -> str:
    """What the people who run the bot wrote into a file of theirs, without anything that Discord takes for Markdown."""
    return discord.utils.escape_markdown(" ".join(text.split()))


def _pages(services: Services, locale: str, kind: str, entries: Sequence[Entry]) -> list[Page]:
    say = services.messages.say
    if not entries:
        return [Page(title="", content=say(f"{kind}.none", locale))]

    portions = in_portions([entry.line for entry in entries], room=LONGEST - ROOM_FOR_TITLE)
    pages, start = [], 0
    for number, lines in enumerate(portions, 1):
        some, start = entries[start : start + len(lines)], start + len(lines)
        shown = tuple(
            Shown(example=examples()[entry.example], label=entry.name) for entry in some if entry.example in examples()
        )
        title = say(f"{kind}.title", locale)
        head = say("pages.title", locale, title=title, number=number, count=len(portions))
        foot = [say("pages.examples", locale)] if shown else []
        names = tuple(entry.name for entry in some)
        pages.append(Page(title=title, content="\n".join([head, *lines, *foot]), shown=shown, names=names))
    return pages


def _fits(lora: LoraSpec, model: ModelSpec) -> bool:
    try:
        check_lora(lora, model)
    except LoraRefused:
        return False
    return True


def _is_absent(model: ModelSpec) -> bool:
    try:
        check_weights(model)
    except RequestRejected:
        return True
    return False


def _model_line(services: Services, model: ModelSpec, locale: str, *, absent: bool) -> str:
    say, catalogue = services.messages.say, services.catalogue
    details = [say("models.size", locale, size=model.native_size, steps=model.num_inference_steps)]
    if model.name == catalogue.default_model:
        details.insert(0, say("models.default", locale))
    if model.draft is not None:
        details.append(say("models.draft", locale))
    if model.refiner:
        details.append(say("models.refiner", locale))
    if absent:
        details.append(say("models.absent", locale))
    return say("models.line", locale, name=code(model.name), details=SEPARATOR.join(details))
