"""❤️: a picture becomes one of the presser's favourites, or is none any more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bot.answering import answer_later, customer_of, tell
from bot.orders import ImageGone
from bot.views.button import LimnerButton, template

if TYPE_CHECKING:
    from bot.client import Interaction


class FavouriteButton(LimnerButton, template=template("favourite")):
    """❤️ of one picture: `limner:favourite:<image id>`. Whoever may see it may like it, and take that back."""

    async def press(self, interaction: Interaction) -> None:
        services, customer = interaction.client.services, customer_of(interaction)
        await answer_later(interaction)
        image, _ = await services.orders.find_image(customer, self.row_id)
        liked = await services.storage.favourites.toggle(customer.user_id, image.id)
        if liked is None:
            raise ImageGone
        say, locale = services.messages.say, interaction.locale.value
        await tell(interaction, say("favourites.added" if liked else "favourites.removed", locale))


def favourite_button(image_id: int, *, row: int | None = None) -> FavouriteButton:
    """❤️ of that picture."""
    return FavouriteButton("favourite", image_id, emoji="❤️", row=row)
