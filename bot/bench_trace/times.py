"""How long workers take: as measured, or as it follows from what others published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bot.simulation.fleet import ServiceTimes
from generation.errors import LimnerError

# What `python -m bot bench --json` calls them, of the embedded model on one core of a server's CPU (x86-64, 20 steps,
# 128 × 128, float32), in seconds of the processor.
POCKET = {
    "single_images_per_second": 1.55,
    "batch_images_per_second": 2.13,
    "load_seconds": 0.16,
    "lora_switch_ms": 8.1,
}

# Full SDXL on one H200, nothing of it measured here. The work is counted from the configuration: a picture of
# 1024 × 1024 in 30 guided steps is 60 passes of the UNet, the text encoders twice and the VAE once, in TFLOP.
UNET_TFLOP, TEXT_TFLOP, VAE_TFLOP = 6.761, 0.11, 10.47
PICTURE_TFLOP = 60 * UNET_TFLOP + 2 * TEXT_TFLOP + VAE_TFLOP
# An H100, which calculates as fast, is published to run 18.5 guided steps a second, compiled, one picture at a time:
# 250 TFLOP/s. Batches are taken to be no faster than that, which is cautious.
H200_TFLOP_PER_SECOND = 18.5 * 2 * UNET_TFLOP
H200 = ServiceTimes(
    picture_seconds=PICTURE_TFLOP / H200_TFLOP_PER_SECOND,
    batch_seconds=0.1,
    load_seconds=10.0,  # 7 GB from a fast disk to the device
    lora_switch_seconds=0.1,  # what it may take at most, by our own bar
)


class NotFigures(LimnerError):
    """A file is not what `python -m bot bench --json` prints. Fields: `path`."""

    key = "not_figures"


def read(path: Path) -> ServiceTimes:
    """What `python -m bot bench --json` found, from a file. Raises `NotFigures`."""
    try:
        return measured(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError) as error:
        raise NotFigures(path=str(path)) from error


def measured(figures: Mapping[str, float | None]) -> ServiceTimes:
    """From such figures: a batch of four beside a single picture tells what a batch costs beside its pictures.

    Raises `KeyError`, `TypeError` or `ZeroDivisionError` for those that cannot be.
    """
    single, four = 1 / _number(figures["single_images_per_second"]), 4 / _number(figures["batch_images_per_second"])
    batch_seconds = max(0.0, (4 * single - four) / 3)
    lora_switch_ms = figures["lora_switch_ms"]
    return ServiceTimes(
        picture_seconds=(four - batch_seconds) / 4,
        batch_seconds=batch_seconds,
        load_seconds=_number(figures["load_seconds"]),
        lora_switch_seconds=0.0 if lora_switch_ms is None else lora_switch_ms / 1000,
    )


def _number(value: float | None) -> float:
    if value is None:
        raise TypeError
    return value


PROFILES: Mapping[str, ServiceTimes] = {
    "h200": H200,
    # 42 of its 141 GB, where `generation.models_on_device_gigabytes` allows them.
    "h200_six_models": replace(H200, models_held=6),
    "pocket": measured(POCKET),
}
