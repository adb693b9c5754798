"""From leased jobs to the batch that a worker paints."""

from __future__ import annotations

from collections.abc import Sequence

from generation.catalogue import Catalogue
from generation.engine.protocol import Batch, Task
from generation.errors import InvalidRecipe, ModelUnavailable, UnknownName
from generation.job import Job
from generation.queue.store import JobStore

# The error key of a job whose source picture is no longer stored.
SOURCE_GONE = "source_gone"


class CannotRun(Exception):
    """A job can never be painted; `key` is the error key that it fails with."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


async def tasks_of(job: Job, *, store: JobStore, catalogue: Catalogue) -> tuple[Task, ...]:
    """A task for each picture of a job, with its source's bytes. Raises `CannotRun`."""
    if len({recipe.batch_key() for recipe in job.recipes}) != 1:
        raise CannotRun(InvalidRecipe.key)
    try:
        catalogue.model(job.recipes[0].model)
        for lora in job.recipes[0].loras:
            catalogue.lora(lora.name)
    except UnknownName as error:  # the configuration has changed since the order
        raise CannotRun(ModelUnavailable.key) from error
    sources: dict[str, bytes] = {}
    for recipe in job.recipes:
        if recipe.source is not None and recipe.source.digest not in sources:
            source = await store.source(recipe.source.digest)
            if source is None:
                raise CannotRun(SOURCE_GONE)
            sources[recipe.source.digest] = source
    return tuple(
        Task(job_id=job.id, recipe=recipe, source=None if recipe.source is None else sources[recipe.source.digest])
        for recipe in job.recipes
    )


def batch_of(tasks: Sequence[Task], catalogue: Catalogue) -> Batch:
    """Tasks of equal batch key as one batch. Raises `UnknownName`."""
    recipe = tasks[0].recipe
    return Batch(
        tasks=tuple(tasks),
        model=catalogue.model(recipe.model),
        loras=tuple(catalogue.lora(lora.name) for lora in recipe.loras),
    )
