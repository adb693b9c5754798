"""Measures batches of several people's orders: `python -m generation.painter.bench_batching` for `bot bench batching`.

Eight orders of four people, one to four pictures each, with other prompts and seeds, two with another guidance scale
and two with a LoRA, go through the queue that the bot runs, and the painter paints the batches that come of it. Plain
diffusers serves each order by itself, as a simple bot does: one call of the pipeline an order, its LoRA loaded before
and unloaded after it; and once more as a bot that keeps its LoRAs loaded and switches them. All take turns in one
process, with the same model, number format, seeds and settings; the medians of the turns' ratios come out, and how far
the pictures are from each other. The painter makes previews and files in its time, and gets no allowance for it.

Reads one JSON object from stdin (`model` and `painter`: the fields of `ModelSpec` and `PainterSettings`;
`lora_folders`; `rounds` of turns; `sizes` of batches to time), and prints one of figures.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from generation.catalogue import Catalogue, Draft, LoraSpec, ModelSpec
from generation.engine.protocol import Batch, Task, WorkerInfo, WorkerState
from generation.engine.settings import PainterSettings
from generation.errors import LimnerError
from generation.job import Job, JobKind, JobStatus
from generation.loras import check_lora, scan_loras
from generation.painter.devices import Placement, choose_placement
from generation.painter.painter import Painter
from generation.queue.assembly import batch_of
from generation.queue.policy import FairQueue, QueuedJob
from generation.recipe import LoraUse, Recipe

PEOPLE = 4
LORA_WEIGHT = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What somebody wants: so many pictures. `guidance` is a share of the model's own scale, `lora` which of two."""

    prompt: str
    pictures: int
    guidance: float = 1.0
    lora: int | None = None


ORDERS = (
    Order(prompt="a red boat on the sea", pictures=4),
    Order(prompt="a blue house on grass at night", pictures=3),
    Order(prompt="a yellow cat in the snow", pictures=2),
    Order(prompt="a green tree on the left, on sand", pictures=2, guidance=1.5),
    Order(prompt="a purple ball on the right, on grass", pictures=1, lora=0),
    Order(prompt="an orange cube on sand at sunset", pictures=1),
    Order(prompt="a white mountain on snow by day", pictures=2, lora=1),
    Order(prompt="a black cat on grass with clouds", pictures=1, guidance=0.7),
)


def measure(
    model: ModelSpec, settings: PainterSettings, loras: Sequence[LoraSpec], *, rounds: int, sizes: Sequence[int]
) -> dict[str, Any]:
    """The figures, by the keys that `bot/bench_batching` explains. `loras` fit the model; the first two are used."""
    catalogue = Catalogue(
        models={model.name: model}, default_model=model.name, loras={lora.name: lora for lora in loras[:2]}
    )
    jobs = [_job(number, order, model, list(catalogue.loras)) for number, order in enumerate(ORDERS, start=1)]
    painter = Painter(settings)
    painter.load(model)
    bot = _SimpleBot(model, choose_placement(settings), catalogue)
    keeper = _SimpleBot(model, choose_placement(settings), catalogue, keeps_loras=True)
    pictures = sum(len(job.recipes) for job in jobs)

    mixed = _batches(jobs, painter, catalogue)
    alone = [batch_of(_tasks(job), catalogue) for job in jobs]
    contestants: dict[str, Callable[[], list[Image.Image]]] = {
        "plain": lambda: [image for job in jobs for image in bot.serve(job)],
        "kept": lambda: [image for job in jobs for image in keeper.serve(job)],
        "mixed": lambda: _paint(painter, mixed),
        "alone": lambda: _paint(painter, alone),
    }
    drawn = {name: paint() for name, paint in contestants.items()}  # which warms up, too
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, paint in contestants.items():
            seconds[name].append(_seconds(paint))

    def ratio(name: str, over: str = "plain") -> float:
        return statistics.median(theirs / ours for theirs, ours in zip(seconds[over], seconds[name], strict=True))

    in_order = [task.job_id for batch in mixed for task in batch.tasks]
    plain = dict(zip(_keys([job.id for job in jobs for _ in job.recipes]), drawn["plain"], strict=True))
    return {
        "ratio_mixed_orders": ratio("mixed"),
        "ratio_mixed_orders_loras_kept": ratio("mixed", over="kept"),
        "ratio_orders_alone": ratio("alone"),
        "plain_images_per_second": pictures / statistics.median(seconds["plain"]),
        "mixed_images_per_second": pictures / statistics.median(seconds["mixed"]),
        "max_mean_difference": max(
            _difference(plain[key], image) for key, image in zip(_keys(in_order), drawn["mixed"], strict=True)
        ),
        "batches": [len(batch.tasks) for batch in mixed],
        "batch_seconds": {size: _batch_seconds(painter, model, size, rounds) for size in sizes},
    }


class _SimpleBot:
    """The pipeline as its documentation shows it; `keeps_loras`: all are loaded once, and an order's switched on."""

    def __init__(
        self, model: ModelSpec, placement: Placement, catalogue: Catalogue, *, keeps_loras: bool = False
    ) -> None:
        if model.source.endswith(".safetensors"):
            self._pipeline: Any = StableDiffusionXLPipeline.from_single_file(model.source, dtype=placement.dtype)
        else:
            self._pipeline = StableDiffusionXLPipeline.from_pretrained(
                model.source, dtype=placement.dtype, variant=model.variant, use_safetensors=True
            )
        self._pipeline.set_progress_bar_config(disable=True)
        self._pipeline.to(placement.device, placement.dtype)
        self._catalogue = catalogue
        self._kept = list(catalogue.loras) if keeps_loras else []
        for name in self._kept:
            self._load(name)

    def serve(self, job: Job) -> list[Image.Image]:
        """One order's pictures, in one call."""
        first = job.recipes[0]
        names = [use.name for use in first.loras]
        if not self._kept:
            for name in names:
                self._load(name)
        elif names:
            self._pipeline.enable_lora()
        else:
            self._pipeline.disable_lora()
        if names:
            self._pipeline.set_adapters(names, [use.weight for use in first.loras])
        images: list[Image.Image] = self._pipeline(
            first.prompt,
            width=first.width,
            height=first.height,
            num_inference_steps=first.num_inference_steps,
            guidance_scale=first.guidance_scale,
            num_images_per_prompt=len(job.recipes),
            generator=[torch.Generator().manual_seed(recipe.seed) for recipe in job.recipes],
        ).images
        if names and not self._kept:
            self._pipeline.unload_lora_weights()
        return images

    def _load(self, name: str) -> None:
        path = self._catalogue.lora(name).path
        self._pipeline.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name)


def _job(number: int, order: Order, model: ModelSpec, loras: Sequence[str]) -> Job:
    names = [] if order.lora is None else loras[order.lora : order.lora + 1]
    uses = tuple(LoraUse(name=name, weight=LORA_WEIGHT) for name in names)
    recipe = Recipe(
        prompt=order.prompt,
        model=model.name,
        width=model.native_size,
        height=model.native_size,
        seed=100 * number,
        num_inference_steps=model.num_inference_steps,
        guidance_scale=1 + (model.guidance_scale - 1) * order.guidance,
        loras=uses,
    )
    return Job(
        id=number,
        kind=JobKind.IMAGINE,
        recipes=tuple(replace(recipe, seed=recipe.seed + picture) for picture in range(order.pictures)),
        request=order.prompt,
        style=None,
        user_id=1 + number % PEOPLE,
        guild_id=None,
        channel_id=1,
        cost=order.pictures,
        status=JobStatus.QUEUED,
        created_at=datetime.fromtimestamp(number, UTC),
    )


def _batches(jobs: Sequence[Job], painter: Painter, catalogue: Catalogue) -> list[Batch]:
    """As the queue gives them to a worker, all orders being there."""
    queue, by_id = FairQueue(), {job.id: job for job in jobs}
    for job in jobs:
        queue.add(QueuedJob.of(job, catalogue))
    worker = WorkerInfo(name="bench", device=painter.device, state=WorkerState.IDLE)
    batches = []
    while picked := queue.pick(worker):
        tasks = [task for queued in picked for task in _tasks(by_id[queued.id])]
        batches.append(batch_of(tasks, catalogue))
    return batches


def _tasks(job: Job) -> list[Task]:
    return [Task(job_id=job.id, recipe=recipe) for recipe in job.recipes]


def _paint(painter: Painter, batches: Sequence[Batch]) -> list[Image.Image]:
    return [
        Image.open(BytesIO(picture.png))
        for batch in batches
        for picture in painter.paint(batch, on_progress=lambda _: None, cancelled=lambda: False).pictures
    ]


def _keys(job_ids: Sequence[int]) -> list[tuple[int, int]]:
    """For each picture its job, and the how many-eth of the job it is."""
    return [(job_id, job_ids[:place].count(job_id)) for place, job_id in enumerate(job_ids)]


def _difference(one: Image.Image, other: Image.Image) -> float:
    """The mean over pixels and channels, in 255ths."""
    return float(np.abs(np.asarray(one, dtype=np.int16) - np.asarray(other.convert("RGB"), dtype=np.int16)).mean())


def _batch_seconds(painter: Painter, model: ModelSpec, size: int, rounds: int) -> float:
    """What a batch of so many different pictures takes."""
    pictures = [
        replace(_job(number, order, model, ()).recipes[0], guidance_scale=model.guidance_scale)
        for number, order in enumerate((ORDERS * size)[:size], start=1)
    ]
    tasks = tuple(Task(job_id=number, recipe=recipe) for number, recipe in enumerate(pictures))
    batch = Batch(tasks=tasks, model=model)
    return statistics.median(_seconds(lambda: _paint(painter, [batch])) for _ in range(rounds))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _fitting(folders: Sequence[Path], model: ModelSpec) -> list[LoraSpec]:
    """The LoRAs for pictures of this model, but that for drafts, which wants other settings."""
    draft = model.draft.lora if model.draft else None
    fitting = []
    for lora in scan_loras(folders)[0].values():
        try:
            check_lora(lora, model)
        except LimnerError:
            continue
        if lora.name != draft:
            fitting.append(lora)
    return fitting


def main() -> None:
    order = json.load(sys.stdin)
    fields = order["model"]
    draft = None if fields["draft"] is None else Draft(**fields["draft"])
    model = ModelSpec(**{**fields, "draft": draft})
    figures = measure(
        model,
        PainterSettings(**order["painter"]),
        _fitting([Path(folder) for folder in order["lora_folders"]], model),
        rounds=order["rounds"],
        sizes=order["sizes"],
    )
    sys.stdout.write(json.dumps(figures) + "\n")


if __name__ == "__main__":
    main()
