"""Orders of several jobs at once: asked about first, then placed all together or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from bot.compose import StartingPicture, compose
from bot.flags import Request
from bot.orders import Customer, Orders
from generation.catalogue import Catalogue
from generation.errors import RequestRejected
from generation.job import Job, JobKind, Priority
from storage.confirmations import Confirmation
from storage.storage import Storage

# How long a question stays open. After that nobody remembers what exactly it was about.
LIFETIME = timedelta(hours=1)


class ConfirmationOver(RequestRejected):
    """The question was answered already, or has expired."""

    key = "confirmation_over"


class NotAsked(RequestRejected):
    """Somebody else was asked."""

    key = "not_asked"


class PriceChanged(RequestRejected):
    """The jobs do not cost any more what the person was told. Fields: `cost`, `told` (both credits)."""

    key = "price_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a person is to be asked. `left` is what they could still spend afterwards, None if that has no limit."""

    confirmation: Confirmation
    left: int | None


class SeriesOrders:
    """Takes orders of several jobs. Each verb raises `RequestRejected`, and then nothing was queued or charged."""

    def __init__(self, *, orders: Orders, storage: Storage, catalogue: Catalogue) -> None:
        self._orders = orders
        self._storage = storage
        self._catalogue = catalogue

    async def ask(
        self,
        customer: Customer,
        requests: Sequence[Request],
        picture: StartingPicture | None = None,
        *,
        parent_image_id: int | None = None,
    ) -> Question:
        """Remember what the person has to confirm. It could be placed as it stands, or this raises what is wrong.

        The person's own defaults count where the requests say nothing.
        """
        defaults = await self._orders.defaults.of(customer.user_id)
        requests = [defaults.applied_to(request, starts_from_picture=picture is not None) for request in requests]
        texts = [self._orders.parser.to_text(request) for request in requests]
        new = [
            self._orders.new_job(
                customer,
                compose(request, self._catalogue, seed=0, picture=picture),
                kind=JobKind.IMAGINE,
                request=text,
                priority=request.priority or Priority.FAST,
            )
            for request, text in zip(requests, texts, strict=True)
        ]
        await self._orders.check(customer, new)
        left = await self._storage.jobs.check_order(
            new,
            allowance=await self._orders.allowance(customer),
            max_queued=await self._orders.most_jobs(customer.guild_id),
            relax=self._orders.relax_limits,
        )
        confirmation = await self._storage.confirmations.ask(
            user_id=customer.user_id,
            guild_id=customer.guild_id,
            channel_id=customer.channel_id,
            requests=texts,
            picture=None if picture is None else _as_json(picture, parent_image_id),
            cost=sum(job.price for job in new),
            lifetime=LIFETIME,
        )
        return Question(confirmation=confirmation, left=left)

    async def find(self, customer: Customer, confirmation_id: int) -> Confirmation:
        """The open question. Raises `ConfirmationOver`, or `NotAsked` for anybody but the person who was asked."""
        confirmation = await self._storage.confirmations.get(confirmation_id)
        if confirmation is None:
            raise ConfirmationOver
        if (confirmation.user_id, confirmation.guild_id) != (customer.user_id, customer.guild_id):
            raise NotAsked
        return confirmation

    async def place(self, customer: Customer, confirmation: Confirmation) -> Sequence[Job]:
        """Order all that was asked about, in one transaction. Placed twice, it gives the first jobs."""
        picture, parent_image_id = _from_json(confirmation.picture)
        new = []
        for text in confirmation.requests:
            request = self._orders.parser.parse(text, wordless=picture is not None)
            seed = self._orders.draw_seed() if request.seed is None else request.seed
            order = compose(request, self._catalogue, seed=seed, picture=picture)
            new.append(
                self._orders.new_job(
                    customer,
                    order,
                    kind=JobKind.IMAGINE,
                    request=text,
                    parent_image_id=parent_image_id,
                    priority=request.priority or Priority.FAST,  # as it was when the person was asked
                    spoiler=request.spoiler,
                )
            )
        cost = sum(job.price for job in new)
        if cost != confirmation.cost:
            raise PriceChanged(cost=cost, told=confirmation.cost)
        # The jobs get messages of their own: the answer to this interaction is not any of them.
        customer = replace(customer, request_key=f"confirmed-{confirmation.id}", answer_token=None)
        return await self._orders.place_all(customer, new)

    async def answered(self, confirmation: Confirmation) -> bool:
        """Forget the question. False: it was forgotten already."""
        return await self._storage.confirmations.answered(confirmation.id)


def _as_json(picture: StartingPicture, parent_image_id: int | None) -> dict[str, Any]:
    return {
        "digest": picture.digest,
        "width": picture.width,
        "height": picture.height,
        "parent_image_id": parent_image_id,
    }


def _from_json(stored: Any) -> tuple[StartingPicture | None, int | None]:
    """The picture, and the image of ours that it is. Raises `ConfirmationOver` for what this version did not store."""
    match stored:
        case None:
            return None, None
        case {
            "digest": str(digest),
            "width": int(width),
            "height": int(height),
            "parent_image_id": int() | None as parent,
        }:
            if all(1 <= number < 2**63 for number in (width, height, parent or 1)):
                return StartingPicture(digest=digest, width=width, height=height), parent
    raise ConfirmationOver
