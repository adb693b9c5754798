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
    """A task for each picture of a job, with the bytes of the files that it starts from. Raises `CannotRun`."""
    if len({recipe.batch_key() for recipe in job.recipes}) != 1:
        raise CannotRun(InvalidRecipe.key)
    try:
        batch_of([Task(job_id=job.id, recipe=recipe) for recipe in job.recipes], catalogue)
    except UnknownName as error:  # the configuration has changed since the order
        raise CannotRun(ModelUnavailable.key) from error
    files: dict[str, bytes] = {}
    for digest in {digest for recipe in job.recipes for digest in recipe.stored_files}:
        file = await store.source(digest)
        if file is None:
            raise CannotRun(SOURCE_GONE)
        files[digest] = file
    return tuple(
        Task(
            job_id=job.id,
            recipe=recipe,
            source=None if recipe.source is None else files[recipe.source.digest],
            mask=None if recipe.mask is None or recipe.mask.digest is None else files[recipe.mask.digest],
        )
        for recipe in job.recipes
    )


def batch_of(tasks: Sequence[Task], catalogue: Catalogue) -> Batch:
    """Tasks of equal batch key as one batch, with all that any of them names. Raises `UnknownName`."""
    recipes = [task.recipe for task in tasks]
    loras = dict.fromkeys(lora.name for recipe in recipes for lora in recipe.loras)
    embeddings = dict.fromkeys(name for recipe in recipes for name in recipe.embeddings)
    return Batch(
        tasks=tuple(tasks),
        model=catalogue.model(recipes[0].model),
        loras=tuple(map(catalogue.lora, loras)),
        embeddings=tuple(map(catalogue.embedding, embeddings)),
    )
