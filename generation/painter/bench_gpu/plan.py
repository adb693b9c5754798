"""What is measured, and how much of it: from `bot/bench_gpu.py`, as one JSON object."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from generation.engine.settings import PainterSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`size` is a key of `SIZES`; `variants` are of `VARIANTS`, those that paint single pictures.

    `batches` are how many pictures are tried at once, painted by `batch_variant`. Rows of the best batch are painted by
    each of `overlap_variants`, and the first picture of a fresh process by each of `cold_start_variants`. Of each speed
    the median of `rounds` is taken, after one to warm up. Distances are measured on the embedded model, which lies in
    the folder `pocket`, for each of `distance_variants`, and with its LoRAs at each of `lora_weights`. `needs_gpu`:
    whether to refuse to measure where there is none. `shorten` divides the steps, where nothing is to be proved.
    """

    painter: PainterSettings
    pocket: str
    size: str
    variants: tuple[str, ...]
    batches: tuple[int, ...]
    batch_variant: str
    overlap_variants: tuple[str, ...]
    cold_start_variants: tuple[str, ...]
    distance_variants: tuple[str, ...]
    lora_weights: tuple[float, ...]
    rounds: int
    needs_gpu: bool
    shorten: int = 1

    @classmethod
    def read(cls, text: str) -> Plan:
        """From JSON."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in json.loads(text).items()
        }
        return cls(**{**fields, "painter": PainterSettings(**fields["painter"])})
