"""A job as the queue sees it: what decides whose turn it is and who may share a batch, and nothing else."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from generation.catalogue import Catalogue
from generation.engine.protocol import WorkerInfo
from generation.errors import UnknownName
from generation.job import Job, Priority
from generation.recipe import LoraUse


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job as the policy sees it.

    `cost` is its work in credits, whatever its owner pays; `work` the same unrounded, in units of one native-size
    picture. `pixels` is the area of all its pictures, `room` the area that shares one forward pass of its model.
    `lora_uses` is how much it uses of which LoRA. `alone` jobs share their batch with nobody. `guild_id` is None in a
    direct message.
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
    lora_uses: tuple[LoraUse, ...] = ()
    alone: bool = False
    guild_id: int | None = None

    def shares_pass(self, other: QueuedJob, worker: WorkerInfo) -> bool:
        """Whether both may go through the model together on that worker, room for them given."""
        alike = self.batch_key == other.batch_key and not (self.alone or other.alone)
        return alike and (self.lora_uses == other.lora_uses or mixes_loras(worker))

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
            lora_uses=first.loras,
            pixels=sum(recipe.width * recipe.height for recipe in job.recipes),
            room=room,
            work=work,
            alone=job.attempt > 0,
            guild_id=job.guild_id,
        )


def mixes_loras(worker: WorkerInfo) -> bool:
    """Whether pictures with different LoRAs share a forward pass on that worker (`painter/mixed_loras.py`).

    Elsewhere they would take passes of their own within the batch, and wait for each other for nothing.
    """
    return worker.device.partition(":")[0] == "cpu"
