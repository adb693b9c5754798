"""Batches one after the other, as a worker paints them: with what is left of one done beside the next, and without."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from io import BytesIO

import torch
from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.painting import OverlappingPainter
from generation.engine.protocol import Batch, Painted, Progress
from generation.engine.settings import PainterSettings
from generation.painter.bench_gpu.distances import apart
from generation.painter.bench_gpu.limits import synchronize
from generation.painter.bench_gpu.recipes import batch, squares
from generation.painter.painter import Painter

BATCHES = 3  # in a row: two periods are timed


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`seconds` from one batch's begin to the next one's, and all pictures in order."""

    seconds: float
    images: tuple[Image.Image, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlapped:
    """Images a second of a row of batches, one beside the next and `in_turn`; the median of both's ratios.

    `most_apart` is the largest distance between a picture of the one and of the other, in 255ths of a channel.
    """

    images_per_second: float
    in_turn: float
    ratio: float
    most_apart: float


def time_overlap(settings: PainterSettings, model: ModelSpec, *, steps: int, rounds: int) -> Overlapped:
    """Of that model's full batches. Raises `SettingRefused` where the device cannot do what the settings ask for."""
    pictures = model.max_batch
    recipes = squares(model, BATCHES * pictures, steps=steps)
    batches = [batch(model, recipes[start : start + pictures]) for start in range(0, len(recipes), pictures)]
    return time_rows(Painter(replace(settings, overlap="on")), batches, rounds=rounds)


def time_rows(painter: OverlappingPainter, batches: Sequence[Batch], *, rounds: int) -> Overlapped:
    """`rounds` of each kind by turns, after a batch that loads and compiles. `batches`: at least two, equally large.

    The painter's `overlap` shall be "on".
    """
    painter.paint(batches[0], on_progress=_ignore, cancelled=_never)
    beside: list[Row] = []
    in_turn: list[Row] = []
    for _ in range(rounds):
        beside.append(paint_row(painter, batches, overlapping=True))
        in_turn.append(paint_row(painter, batches, overlapping=False))
    pictures = len(batches[0].tasks)
    return Overlapped(
        images_per_second=pictures / statistics.median(row.seconds for row in beside),
        in_turn=pictures / statistics.median(row.seconds for row in in_turn),
        ratio=statistics.median(slow.seconds / fast.seconds for slow, fast in zip(in_turn, beside, strict=True)),
        most_apart=max(apart(one.images, two.images).most for one, two in zip(beside, in_turn, strict=True)),
    )


def paint_row(painter: OverlappingPainter, batches: Sequence[Batch], *, overlapping: bool) -> Row:
    """As `generation/engine/worker.py` does it: one batch is begun while at most one other is finished.

    What is timed is the way from the first batch's to the last one's being so far that another could begin, so that
    neither the row's beginning nor its end counts, where there is nothing to overlap with.
    """
    work: Callable[..., Painted | Callable[[], Painted]] = painter.begin if overlapping else painter.paint
    device = torch.device(painter.device)
    free_at: list[float] = []
    ends: list[Future[Painted]] = []
    with ThreadPoolExecutor(1) as finishing:
        for together in batches:
            begun = work(together, on_progress=_ignore, cancelled=_never)
            wait(ends)
            synchronize(device)
            free_at.append(time.perf_counter())
            ends.append(finishing.submit(_painted, begun))
        painted = [end.result() for end in ends]
    return Row(
        seconds=(free_at[-1] - free_at[0]) / (len(batches) - 1),
        images=tuple(Image.open(BytesIO(picture.png)) for one in painted for picture in one.pictures),
    )


def _painted(begun: Painted | Callable[[], Painted]) -> Painted:
    return begun if isinstance(begun, Painted) else begun()


def _ignore(progress: Progress) -> None:
    pass


def _never() -> bool:
    return False
