"""Orders of edits: more around a picture, or a part of it anew; from buttons, forms and commands."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

from bot.compose import DEFAULT_COUNT, StartingPicture, compose
from bot.edit import Words, reframed, repainted, reworded
from bot.flags import Request
from bot.orders import Customer, Orders
from bot.series import only_one
from bot.uploads import Brought
from generation.catalogue import Catalogue
from generation.errors import RequestRejected
from generation.framing import Canvas
from generation.job import Job, JobKind
from generation.prompt_language import expand
from generation.recipe import Mask, Recipe

# From a picture's width and height to the canvas around it.
Around = Callable[[int, int], Canvas]
# Fields of a request that belong to a first painting, with the flag that fills each.
FIRST_PAINTING = {"hires": "--hires", "refine": "--refine", "stop": "--stop", "repeat": "--repeat"}


class FlagNotHere(RequestRejected):
    """An edit has no use for that flag. Fields: `flag`."""

    key = "flag_not_here"


class OneEdit(RequestRejected):
    """The text stands for several: permutations are for /imagine."""

    key = "one_edit"


class Editing:
    """Takes orders of edits. Each verb raises `RequestRejected`, and then nothing is queued and nothing charged.

    `request` is in what words; without one they are the picture's own.
    """

    def __init__(self, *, orders: Orders, catalogue: Catalogue) -> None:
        self._orders = orders
        self._catalogue = catalogue

    def read(self, text: str, *, shape: bool = False) -> Request:
        """Read the words of an edit; `shape` tells whether an aspect may stand in them.

        Raises what `FlagParser.parse` raises, `FlagNotHere` or `OneEdit`.
        """
        request = self._one(text)
        for field, flag in FIRST_PAINTING.items() if shape else {**FIRST_PAINTING, "aspect": "--ar"}.items():
            if getattr(request, field) is not None:
                raise FlagNotHere(flag=flag)
        return request

    def _one(self, text: str) -> Request:
        alternatives = expand(text)
        if len(alternatives) > 1:
            raise OneEdit
        return self._orders.parser.parse(alternatives[0])

    def to_edit(self, job: Job) -> str:
        """What was typed for a job, without what only its own pictures had: ready to be changed for an edit."""
        with contextlib.suppress(RequestRejected):  # typed under other limits, or not typed at all
            request = self._orders.parser.parse(job.request)
            words = replace(
                request,
                aspect=None,
                seed=None,
                count=None,
                strength=None,
                chaos=None,
                hires=None,
                refine=None,
                stop=None,
                repeat=None,
                priority=None,
            )
            return self._orders.parser.to_text(words)
        return job.request

    async def reframe(
        self, customer: Customer, image_id: int, kind: JobKind, around: Around, request: Request | None = None
    ) -> Job:
        """Order a picture with more around it."""
        image, parent = await self._orders.find_image(customer, image_id)
        picture = StartingPicture(digest=image.digest, width=image.width, height=image.height)
        words = self._own(image.recipe, parent) if request is None else self._typed(request, picture)
        order = reframed(words, picture, around(image.width, image.height), self._catalogue)
        text = self.to_edit(parent) if request is None else self._orders.parser.to_text(request)
        return await self._orders.place(
            customer,
            order,
            kind=kind,
            request=text,
            parent_image_id=image.id,
            priority=None if request is None else request.priority,
            spoiler=request is not None and request.spoiler,
        )

    async def again(self, customer: Customer, job_id: int, text: str) -> Job:
        """Order a job once more in other words. What it started from stays."""
        job = await self._orders.find_words(customer, job_id)
        if all(recipe.source is None for recipe in job.recipes):
            request = only_one(self._orders.parser, text)
            return await self._orders.imagine(customer, replace(request, spoiler=request.spoiler or job.spoiler))
        request = self.read(text)
        order = reworded(self._typed(request, None), job.recipes, self._catalogue)
        text = self._orders.parser.to_text(request)
        return await self._orders.place(
            customer,
            order,
            kind=job.kind,
            request=text,
            parent_image_id=job.parent_image_id,
            priority=request.priority,
            spoiler=request.spoiler or job.spoiler,
        )

    async def repaint(self, customer: Customer, image_id: int, mask: Mask, request: Request) -> Job:
        """Order a picture with what `mask` covers painted anew."""
        image, _ = await self._orders.find_image(customer, image_id)
        picture = StartingPicture(digest=image.digest, width=image.width, height=image.height)
        return await self._repaint(customer, picture, JobKind.VARY_REGION, mask, request, parent_image_id=image.id)

    async def reframe_brought(self, customer: Customer, brought: Brought, around: Around, request: Request) -> Job:
        """Order a picture that somebody brought with more around it. The person's own defaults count."""
        picture, request = brought.picture, await self._with_defaults(customer, request)
        order = reframed(self._typed(request, picture), picture, around(picture.width, picture.height), self._catalogue)
        text = self._orders.parser.to_text(request)
        return await self._orders.place(
            customer,
            order,
            kind=JobKind.OUTPAINT,
            request=text,
            parent_image_id=brought.image_id,
            priority=request.priority,
            spoiler=request.spoiler,
        )

    async def repaint_brought(self, customer: Customer, brought: Brought, mask: Mask, request: Request) -> Job:
        """Order a picture that somebody brought with what `mask` covers painted anew. Defaults as above."""
        request = await self._with_defaults(customer, request)
        return await self._repaint(
            customer, brought.picture, JobKind.EDIT, mask, request, parent_image_id=brought.image_id
        )

    async def _with_defaults(self, customer: Customer, request: Request) -> Request:
        defaults = await self._orders.defaults.of(customer.user_id)
        return defaults.applied_to(request, starts_from_picture=True)

    async def _repaint(
        self,
        customer: Customer,
        picture: StartingPicture,
        kind: JobKind,
        mask: Mask,
        request: Request,
        *,
        parent_image_id: int | None,
    ) -> Job:
        order = repainted(self._typed(request, picture), picture, mask, self._catalogue)
        text = self._orders.parser.to_text(request)
        return await self._orders.place(
            customer,
            order,
            kind=kind,
            request=text,
            parent_image_id=parent_image_id,
            priority=request.priority,
            spoiler=request.spoiler,
        )

    def _own(self, recipe: Recipe, parent: Job) -> Words:
        return Words(recipe=recipe, style=parent.style, seed=self._orders.draw_seed())

    def _typed(self, request: Request, picture: StartingPicture | None) -> Words:
        seed = self._orders.draw_seed() if request.seed is None else request.seed
        order = compose(replace(request, count=1), self._catalogue, seed=seed, picture=picture)
        return Words(
            recipe=order.recipes[0],
            style=order.style,
            seed=seed,
            count=request.count or DEFAULT_COUNT,
            strength=1.0 if request.strength is None else request.strength,
        )
