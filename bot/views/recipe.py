"""📋 and what it tells: how a picture was drawn and what it came from, with a button that draws it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import discord

from bot.answering import answer_later, customer_of, tell
from bot.compose import order_of
from bot.uploads import images_in
from bot.views.button import LimnerButton, template, view_of
from bot.views.redraw import redraw_button
from bot.wording import MESSAGE_LENGTH, code, fitting, price
from generation.errors import LimnerError
from generation.job import Priority, price_of
from generation.parameters import Parameters, parameters_text, parse_parameters

if TYPE_CHECKING:
    from bot.client import Interaction, Services
    from bot.inspecting import Drawn, Finding
    from generation.recipe import Recipe

SHOWN_ANCESTORS = 5
LISTED_LENGTH = 60  # characters of what was typed for an ancestor


class RecipeButton(LimnerButton, template=template("recipe")):
    """📋 of one picture, under a grid of its first: `limner:recipe:<image id>`."""

    async def press(self, interaction: Interaction) -> None:
        await answer_later(interaction)
        grid = interaction.message is not None and len(images_in(interaction.message, interaction)) > 1
        inspector = interaction.client.services.inspector
        await tell_of(interaction, await inspector.image(customer_of(interaction), self.row_id, exact=not grid))


def recipe_button(image_id: int, *, row: int | None = None) -> RecipeButton:
    """📋 of that picture."""
    return RecipeButton("recipe", image_id, emoji="📋", row=row)


async def tell_of(interaction: Interaction, finding: Finding) -> None:
    """Say what is known of a picture, to the person alone."""
    services, locale = interaction.client.services, interaction.locale.value
    say = services.messages.say
    view = None
    if finding.drawn is None:
        lines = _strange(services, finding, locale)
    else:
        drawn = finding.drawn
        lines = [
            say(
                "inspect.drawn" if finding.exact else "inspect.copy",
                locale,
                user=f"<@{drawn.image.user_id}>",
                when=discord.utils.format_dt(drawn.image.created_at, "R"),
                number=drawn.image.index + 1,
                job=drawn.job.id,
            ),
            *_parameters(services, _told(drawn.image.recipe), locale),
            *_descent(services, finding.descent, locale),
        ]
        defaults = await services.orders.defaults.of(interaction.user.id)
        label = _price(services, drawn, defaults.priority, locale)
        view = view_of(redraw_button(drawn.image.id, label))
    await tell(interaction, "\n".join(fitting(lines, MESSAGE_LENGTH)), view=view)


def _strange(services: Services, finding: Finding, locale: str) -> list[str]:
    """A picture that was not drawn here; a file may still say how it was made."""
    say = services.messages.say
    told = finding.parameters if finding.recipe is None else _told(finding.recipe)
    if told is None:
        return [say("inspect.silent", locale)]
    return [say("inspect.elsewhere", locale), *_parameters(services, told, locale)]


def _told(recipe: Recipe) -> Parameters:
    told = parse_parameters(parameters_text(recipe))
    assert told is not None  # its own inverse
    return told


def _parameters(services: Services, told: Parameters, locale: str) -> list[str]:
    say = services.messages.say
    settings = ", ".join(f"{name}: {value}" for name, value in told.settings.items())
    lines = [say("inspect.prompt", locale, prompt=code(told.prompt))]
    if told.negative_prompt:
        lines.append(say("inspect.negative_prompt", locale, prompt=code(told.negative_prompt)))
    return [*lines, say("inspect.settings", locale, settings=code(settings))]


def _descent(services: Services, line: Sequence[Drawn], locale: str) -> list[str]:
    if not line:
        return []
    say = services.messages.say
    lines = [
        say(
            "inspect.ancestor",
            locale,
            number=drawn.image.index + 1,
            job=drawn.job.id,
            title=say(
                f"title.{drawn.job.kind}",
                locale,
                request=code(drawn.job.request[:LISTED_LENGTH]),
                user=f"<@{drawn.job.user_id}>",
            ),
        )
        for drawn in line[:SHOWN_ANCESTORS]
    ]
    if len(line) > SHOWN_ANCESTORS:
        lines.append(say("inspect.more_ancestors", locale, count=len(line) - SHOWN_ANCESTORS))
    return [say("inspect.descent", locale), *lines]


def _price(services: Services, drawn: Drawn, priority: Priority, locale: str) -> str:
    """The label of "Draw again". A recipe whose model or LoRA is gone shows its old price, and says so when pressed."""
    try:
        cost = order_of((drawn.image.recipe,), services.catalogue, None).cost
    except LimnerError:
        cost = drawn.job.cost
    shown = price(services.messages, price_of(cost, priority), locale)
    return services.messages.say("inspect.redraw", locale, cost=shown)
