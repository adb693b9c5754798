"""The rendered training scenes on disk: one uint8 array per bucket, made once in a few processes.

Scenes are not stored: the n-th scene of a bucket is drawn by lot from a seed made of the bucket and n, so its
description can be had again at any time (`scene_at`).
"""

from __future__ import annotations

import multiprocessing
import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from generation.pocket.drawing import render
from generation.pocket.scenes import BUCKETS, Scene, sample_scene

Bucket = tuple[int, int]
SCENES_PER_TASK = 200


def scene_at(bucket: Bucket, index: int) -> Scene:
    """The description of one training scene of a bucket (width, height)."""
    width, height = bucket
    return sample_scene(random.Random(f"{width}x{height}/{index}"), width, height)


@dataclass(slots=True, frozen=True, kw_only=True)
class SceneImages:
    """Pictures of one bucket: uint8, shape (count, height, width, 3), memory-mapped."""

    bucket: Bucket
    pixels: NDArray[np.uint8]


def images_path(work: Path, bucket: Bucket) -> Path:
    return work / "scenes" / f"{bucket[0]}x{bucket[1]}.npy"


def render_dataset(work: Path, count: int) -> None:
    """Render `count` scenes, shared out over the buckets, unless they are there already."""
    (work / "scenes").mkdir(parents=True, exist_ok=True)
    with multiprocessing.get_context("spawn").Pool(max(1, os.cpu_count() or 1)) as pool:
        for bucket, share in BUCKETS.items():
            path = images_path(work, bucket)
            if not path.exists():
                _render_bucket(pool, path, bucket, round(count * share))


def _render_bucket(pool: multiprocessing.pool.Pool, path: Path, bucket: Bucket, count: int) -> None:
    width, height = bucket
    temporary = path.with_name(path.stem + ".part.npy")
    pixels = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(count, height, width, 3))
    tasks = [(bucket, start, min(start + SCENES_PER_TASK, count)) for start in range(0, count, SCENES_PER_TASK)]
    with tqdm(total=count, desc=f"scenes {width}x{height}", unit="scene") as bar:
        for (_, start, stop), images in zip(tasks, pool.imap(_render_task, tasks), strict=True):
            pixels[start:stop] = images
            bar.update(stop - start)
    pixels.flush()
    temporary.replace(path)


def _render_task(task: tuple[Bucket, int, int]) -> NDArray[np.uint8]:
    bucket, start, stop = task
    return np.stack([np.asarray(render(scene_at(bucket, index))) for index in range(start, stop)])


def load_dataset(work: Path) -> list[SceneImages]:
    """Open the rendered scenes of every bucket."""
    return [SceneImages(bucket=bucket, pixels=np.load(images_path(work, bucket), mmap_mode="r")) for bucket in BUCKETS]
