"""Zoom out, pan, make square: buttons that put more around a picture, and the form of the custom zoom."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from bot.answering import customer_of, order
from bot.edit import LARGEST_ZOOM, take_zoom
from bot.views.button import LimnerButton, template
from bot.views.dialog import LimnerDialog, text_field
from bot.views.remix import asks_first
from generation.framing import Side, panned, squared, zoomed
from generation.job import JobKind

if TYPE_CHECKING:
    import re

    from bot.client import Interaction
    from bot.editing import Around
    from bot.messages import Messages
    from bot.views.dialog import Answers

ZOOMS: Mapping[str, Around] = {
    "zoom_out_15": partial(zoomed, zoom=Fraction(3, 2)),
    "zoom_out_20": partial(zoomed, zoom=Fraction(2)),
}
PANS: Mapping[str, Around] = {
    "pan_left": partial(panned, side=Side.LEFT),
    "pan_right": partial(panned, side=Side.RIGHT),
    "pan_up": partial(panned, side=Side.TOP),
    "pan_down": partial(panned, side=Side.BOTTOM),
}
ARROWS = {"pan_left": "⬅️", "pan_right": "➡️", "pan_up": "⬆️", "pan_down": "⬇️"}
REFRAMINGS: Mapping[str, tuple[JobKind, Around]] = {
    **{action: (JobKind.ZOOM_OUT, around) for action, around in ZOOMS.items()},
    **{action: (JobKind.PAN, around) for action, around in PANS.items()},
    "make_square": (JobKind.MAKE_SQUARE, squared),
}


class ReframeButton(LimnerButton, template=template("|".join(REFRAMINGS))):
    """Orders a picture with more around it: `limner:<which>:<image id>`."""

    async def press(self, interaction: Interaction) -> None:
        services, customer = interaction.client.services, customer_of(interaction)
        if self.action in PANS:
            _, parent = await services.orders.find_image(customer, self.row_id)
            if await asks_first(interaction, self.action, self.row_id, services.editing.to_edit(parent)):
                return
        kind, around = REFRAMINGS[self.action]
        await order(interaction, services.editing.reframe(customer, self.row_id, kind, around))


class CustomZoomButton(LimnerButton, template=template("custom_zoom")):
    """Asks for the zoom, the shape and the words: `limner:custom_zoom:<image id>`."""

    async def press(self, interaction: Interaction) -> None:
        services, locale = interaction.client.services, interaction.locale.value
        _, parent = await services.orders.find_image(customer_of(interaction), self.row_id)
        text = f"{services.editing.to_edit(parent)} --zoom {LARGEST_ZOOM}"
        dialog = CustomZoomDialog(self.custom_id, services.messages.say("forms.custom_zoom", locale))
        dialog.add_field(
            services.messages.say("forms.prompt", locale),
            text_field("prompt", default=text),
            description=services.messages.say("forms.custom_zoom_help", locale),
        )
        await dialog.show(interaction)


class CustomZoomDialog(LimnerDialog, template=template("custom_zoom")):
    """The prompt with `--zoom` and `--ar` in it."""

    @classmethod
    async def answer(cls, interaction: Interaction, match: re.Match[str], answers: Answers) -> None:
        editing = interaction.client.services.editing
        text, zoom = take_zoom(answers.texts["prompt"])
        request = editing.read(text, shape=True)
        around = partial(zoomed, zoom=zoom, aspect=request.aspect)
        image_id = int(match["id"])
        customer = customer_of(interaction)
        await order(interaction, editing.reframe(customer, image_id, JobKind.ZOOM_OUT, around, request))


def reframe_buttons(messages: Messages, image_id: int, locale: str | None, *, square: bool) -> list[LimnerButton]:
    """A row of zooms and one of pans; `square`: the picture is square already."""
    say = messages.say
    return [
        *(ReframeButton(action, image_id, label=say(f"buttons.{action}", locale), row=2) for action in ZOOMS),
        CustomZoomButton("custom_zoom", image_id, label=say("buttons.custom_zoom", locale), row=2),
        *(() if square else (ReframeButton("make_square", image_id, label=say("buttons.make_square", locale), row=2),)),
        *(ReframeButton(action, image_id, emoji=arrow, row=3) for action, arrow in ARROWS.items()),
    ]
