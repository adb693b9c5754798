"""Orders of what is made from a picture that somebody brought: variations, and the same at twice its size."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from bot.compose import SQUARE, compose
from bot.derive import VARIATION_STRENGTHS, VARIATIONS, upscale_of
from bot.editing import FlagNotHere, OneEdit
from bot.flags import Request
from bot.orders import Customer, Orders
from bot.uploads import Brought
from generation.catalogue import Catalogue
from generation.errors import RequestRejected
from generation.job import Job, JobKind
from generation.prompt_language import expand
from generation.recipe import Recipe

SIDE_STEP = 8  # pixels: sides of recipes are multiples of it


class UploadOrders:
    """Takes orders for pictures that `bot.uploads.Uploads` has brought into storage.

    Each verb raises `RequestRejected`, and then nothing is queued and nothing charged. A picture that was drawn here is
    treated as under its own buttons. Any other is drawn in the words that were typed, else in those that its file
    carries if they could have been typed here, else in none.
    """

    def __init__(self, *, orders: Orders, catalogue: Catalogue) -> None:
        self._orders = orders
        self._catalogue = catalogue

    def read(self, text: str, *, strength: float | None = None) -> Request | None:
        """Read the words of variations, which may be flags alone; None for nothing at all.

        Raises what `FlagParser.parse` raises, `OneEdit` or `FlagNotHere`.
        """
        if not text.strip() and strength is None:
            return None
        alternatives = expand(text)
        if len(alternatives) > 1:
            raise OneEdit
        request = self._orders.parser.parse(alternatives[0], {"strength": strength}, wordless=True)
        if request.repeat is not None:
            raise FlagNotHere(flag="--repeat")
        return request

    async def vary(
        self, customer: Customer, brought: Brought, kind: JobKind = JobKind.VARIATIONS, request: Request | None = None
    ) -> Job:
        """Order variations; `kind` says how far from the picture they are, unless the request names a strength."""
        if request is None and brought.image_id is not None:
            return await self._orders.variations(customer, brought.image_id, kind)
        if request is not None and request.prompt:  # carried words have their style in them already
            defaults = await self._orders.defaults.of(customer.user_id)
            request = defaults.applied_to(request, starts_from_picture=True)
        request = self._in_words(request, brought.recipe)
        varied = replace(
            request,
            strength=VARIATION_STRENGTHS[kind] if request.strength is None else request.strength,
            count=request.count or VARIATIONS,
        )
        seed = self._orders.draw_seed() if request.seed is None else request.seed
        order = compose(varied, self._catalogue, seed=seed, picture=brought.picture)
        text = self._orders.parser.to_text(request)
        return await self._orders.place(
            customer,
            order,
            kind=kind,
            request=text,
            parent_image_id=brought.image_id,
            priority=request.priority,
            spoiler=request.spoiler,
        )

    async def upscale(self, customer: Customer, brought: Brought, kind: JobKind) -> Job:
        """Order the picture at twice its size; `kind` says with how much new detail."""
        if brought.image_id is not None:
            return await self._orders.upscale(customer, brought.image_id, kind)
        picture, request = brought.picture, self._in_words(None, brought.recipe)
        # The size comes from the picture itself, however long that is, so any shape will do here.
        composed = compose(replace(request, aspect=SQUARE, count=1), self._catalogue, seed=0, picture=picture)
        as_it_is = replace(composed.recipes[0], width=_side(picture.width), height=_side(picture.height))
        seed = self._orders.draw_seed()
        order = upscale_of(as_it_is, self._catalogue, kind=kind, digest=picture.digest, seed=seed)
        text = self._orders.parser.to_text(request)
        return await self._orders.place(customer, order, kind=kind, request=text)

    def _in_words(self, request: Request | None, carried: Recipe | None) -> Request:
        """The request, with the words that the file carries where it has none of its own."""
        request = request or Request(prompt="")
        if request.prompt or carried is None:
            return request
        with contextlib.suppress(RequestRejected):  # anybody can write such a file: no more than could be typed
            words = self._orders.parser.parse(carried.prompt, {"negative": carried.negative_prompt or None})
            compose(words, self._catalogue, seed=0)
            if request.negative_prompt is None:
                request = replace(request, negative_prompt=words.negative_prompt)
            if request.model is None and carried.model in self._catalogue.models.keys() - {
                self._catalogue.default_model
            }:
                request = replace(request, model=carried.model)
            return replace(request, prompt=words.prompt)
        return request


def _side(pixels: int) -> int:
    return max(SIDE_STEP, round(pixels / SIDE_STEP) * SIDE_STEP)
