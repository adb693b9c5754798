"""A job as the queue sees it: what decides whose turn it is and who may share a batch, and nothing else."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from generation.catalogue import Catalogue
from generation.errors import UnknownName
from generation.job import Job, Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job as the policy sees it.

    `cost` is its work in credits, whatever its owner pays; `work` the same unrounded, in units of one native-size
    picture. `pixels` is the area of all its pictures, `room` the area that shares one forward pass of its model.
    `alone` jobs share their batch with nobody. `guild_id` is None in a direct message.
    """

    id: int
    user_id: int
    priority: Priority
    cost: int
    model: str
    loras: tuple[str, ...]
    batch_key: Hashable
    pixels: int
    room: int
    work: float
    alone: bool = False
    guild_id: int | None = None

    @classmethod
    def of(cls, job: Job, catalogue: Catalogue) -> QueuedJob:
        """The policy's view of a job. One that failed before runs alone: it must not take its neighbours down again."""
        first = job.recipes[0]
        try:
            model = catalogue.model(first.model)
            room = model.max_batch * model.native_size**2
            work = sum(
                recipe.work(native_size=model.native_size, default_steps=model.num_inference_steps)
                for recipe in job.recipes
            )
        except UnknownName:  # it will be refused when its turn comes
            room, work = 0, float(job.cost)
        return cls(
            id=job.id,
            user_id=job.user_id,
            priority=job.priority,
            cost=max(1, job.cost),
            model=first.model,
            loras=tuple(lora.name for lora in first.loras),
            batch_key=first.batch_key(),
            pixels=sum(recipe.width * recipe.height for recipe in job.recipes),
            room=room,
            work=work,
            alone=job.attempt > 0,
            guild_id=job.guild_id,
        )
