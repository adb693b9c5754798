"""What Discord offers while somebody types an option. It shows 25 of them: the search reaches all."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

from discord import app_commands

from bot.client import Interaction, Services
from bot.flag_values import RAW, USUAL_ASPECTS

MAX_CHOICES = 25
MAX_CHOICE_NAME = 100  # characters
Choices = list[app_commands.Choice[str]]
Completion: TypeAlias = Callable[[Interaction, str], Coroutine[Any, Any, Choices]]


def aspects() -> Completion:
    """The usual ones; any other may be typed."""

    async def complete(_: Interaction, typed: str) -> Choices:
        return choices(dict.fromkeys(USUAL_ASPECTS, ""), typed)

    return complete


def styles(services: Services) -> Completion:
    """All styles, and `raw`."""

    async def complete(_: Interaction, typed: str) -> Choices:
        names = {name: style.description for name, style in sorted(services.catalogue.styles.items())}
        return choices({**names, RAW: services.messages.say("flags.raw")}, typed)

    return complete


def models(services: Services) -> Completion:
    """All models."""

    async def complete(_: Interaction, typed: str) -> Choices:
        return choices(dict.fromkeys(sorted(services.catalogue.models), ""), typed)

    return complete


def loras(services: Services) -> Completion:
    """All LoRAs that people may name; a weight that was typed behind a name stays there."""

    async def complete(_: Interaction, typed: str) -> Choices:
        name, colon, weight = typed.partition(":")
        names = {name: spec.title for name, spec in services.catalogue.offered_loras().items()}
        return choices(names, name, ending=colon + weight)

    return complete


def choices(names: Mapping[str, str], typed: str, *, ending: str = "") -> Choices:
    """The names that match what was typed: those that begin with it first, then those that have it inside.

    `names` maps each to its description, which is searched last and shown behind it; `ending` is put after each name.
    """
    wanted = typed.strip().casefold()

    def rank(name: str) -> int | None:
        folded = name.casefold()
        if folded.startswith(wanted):
            return 0
        if wanted in folded:
            return 1
        return 2 if wanted in names[name].casefold() else None

    ranked = sorted((found, position, name) for position, name in enumerate(names) if (found := rank(name)) is not None)
    return [
        app_commands.Choice(name=_shown(name + ending, names[name]), value=(name + ending)[:MAX_CHOICE_NAME])
        for _, _, name in ranked[:MAX_CHOICES]
    ]


def _shown(name: str, description: str) -> str:
    text = f"{name} – {description}" if description and description != name else name
    return text if len(text) <= MAX_CHOICE_NAME else text[: MAX_CHOICE_NAME - 1] + "…"
