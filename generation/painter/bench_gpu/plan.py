"""What is measured, and how much of it: from `bot/bench_gpu.py`, as one JSON object."""

from __future__ import annotations

import json
from dataclasses import dataclass

from generation.engine.settings import PainterSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`size` is a key of `SIZES`; `variants` are of `VARIANTS`, those that paint single pictures.

    `batches` are how many pictures are tried at once, painted by `batch_variant`. Of each speed the median of `rounds`
    is taken, after one to warm up. Distances are measured on the embedded model, whose weights are at `pocket`, for
    each of `distance_variants`. `cold_starts`: whether fresh processes are timed, painting by `batch_variant`.
    `needs_gpu`: whether to refuse to measure where there is none. `shorten` divides the steps, where nothing is to be
    proved.
    """

    painter: PainterSettings
    size: str
    variants: tuple[str, ...]
    batches: tuple[int, ...]
    batch_variant: str
    rounds: int
    pocket: str
    distance_variants: tuple[str, ...]
    cold_starts: bool
    needs_gpu: bool
    shorten: int = 1

    @classmethod
    def read(cls, text: str) -> Plan:
        """From JSON."""
        fields = json.loads(text)
        lists = {name: tuple(fields[name]) for name in ("variants", "batches", "distance_variants")}
        return cls(**{**fields, **lists, "painter": PainterSettings(**fields["painter"])})
