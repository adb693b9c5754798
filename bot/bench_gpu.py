"""`python -m bot bench gpu [--dry-run] [--json]`: the painter on a GPU, beside its limit and plain diffusers.

It paints with full SDXL of random weights, made from its configuration on the device, which runs as fast as the real
one; nothing is downloaded. `--dry-run` goes the same ways with a small model on the CPU, to see that all of it works;
its times are of no use, and graphs and fp8, which need a GPU, come out as null. What is measured runs in processes of
its own. What comes out is said on stderr as it comes; keys of the JSON object:

- `matrix_tflops`, `matrix_tflops_fp8`: the rate of large matrix products; `unet_tflop`: the work of one row of a step.
  `limit_…`: what follows from both if nothing else took time. `…_percent_of_limit`: a figure's share of it.
- `attention_<kernel>_ms`: one call of each attention kernel; `attention` is the fastest, which all but `shipped` use.
- `<variant>_steps_per_second`, `<variant>_picture_seconds`, `<variant>_first_picture_seconds` (with loading and
  compiling), `<variant>_memory_gb`: one guided picture at a time, 30 steps. `plain` is diffusers as its documentation
  shows it, `shipped` the painter with nothing of docs/performance.md switched on, `eager` with channels_last and a bf16
  VAE, and `blocks`, `unet`, `graphs` and `fp8` that compiled (`generation/painter/bench_gpu/contestants.py`).
- `batch_<n>_images_per_second_<steps>`: n pictures at once; `best_images_per_second_<steps>` the best of them at
  `best_batch`, with `fp8_…` and `plain_…` in the same batch. `draft_images_per_second`: 4 steps without guidance.
- `<variant>_overlapped_images_per_second`: a row of such batches, 20 steps, each one's decoding, image classifier and
  files done beside the next one's steps (with graphs: its files alone); `<variant>_in_turn_images_per_second`: before
  them. `<variant>_overlap_ratio` is the one over the other, and `<variant>_overlap_distance_max` how far pictures are
  apart at most, also the embedded model's: 0 is what it shall be.
- `lora_switch_ms`: to another LoRA that was read before, until the device has done it.
- `<variant>_cold_start_seconds`: from before a process is made until its first picture, with what an earlier one
  compiled (`<variant>_cold_start_uncached_seconds`); `graphs` is what docs/performance.md recommends.
- `<variant>_distance_mean`, `<variant>_distance_max`: how far pictures of the embedded model are from those painted as
  shipped (fp8: from the same in bfloat16), in 255ths of a channel.
- `lora_<weight in percent>_rounding_mean`, `…_max`: how far pictures of the embedded model with a LoRA of its own are
  from those with the same LoRA by peft, both in bfloat16; `…_bfloat16_…` and `…_peft_bfloat16_…`: each from the same in
  float32; `…_effect_…`: what the LoRA does to the picture. Of four pictures with each of two LoRAs.
- `broken_parts`: how many parts ended with an error that is not the device's lack of something, each told on stderr.
  What they would have measured is null.

`AT_LEAST` and `AT_MOST` say what each figure shall reach on one H200.
"""

from __future__ import annotations

import json as json_format
import math
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, TypeAlias

from bot.config import PROGRAM_FOLDER, Config
from generation.engine.settings import PainterSettings
from generation.errors import SettingRefused

Figures: TypeAlias = Mapping[str, float | str | None]

# Each with what plain diffusers has in its place, and what it shall be.
AT_LEAST = {
    "eager_steps_per_second": ("plain_steps_per_second", 15.0),
    "compiled_steps_per_second": ("plain_steps_per_second", 22.0),
    "best_images_per_second_30": ("plain_images_per_second_30", 1.14),
    "best_images_per_second_20": ("plain_images_per_second_20", 1.69),
    "fp8_images_per_second_20": ("plain_images_per_second_20", 2.3),
    "draft_images_per_second": ("plain_draft_images_per_second", 8.0),
}
AT_MOST = {
    "lora_switch_ms": ("plain_lora_switch_ms", 100.0),
    "graphs_cold_start_seconds": ("plain_cold_start_seconds", 60.0),
}
MOST_SECONDS = 3 * 3600.0
POCKET = PROGRAM_FOLDER / "generation" / "pocket"

_VARIANTS = ["shipped", "eager", "blocks", "unet", "graphs", "fp8"]
_DISTANT = ["eager", "unet", "fp8", "guided_half"]
FULL: dict[str, Any] = {
    "size": "sdxl",
    "variants": _VARIANTS,
    "batches": [2, 4, 8, 16],
    "batch_variant": "unet",
    "overlap_variants": ["unet", "graphs"],
    "cold_start_variants": ["graphs", "unet"],
    "distance_variants": _DISTANT,
    "lora_weights": [0.0, 0.05, 0.35, 0.7, 1.0],
    "rounds": 3,
    "needs_gpu": True,
}
DRY_RUN: dict[str, Any] = FULL | {"size": "mid", "batches": [1, 2], "rounds": 1, "needs_gpu": False}
# Tries most of it in seconds: a CPU's compiler takes minutes, and a process its time to load torch.
QUICK: dict[str, Any] = DRY_RUN | {
    "size": "small",
    "variants": ["shipped", "graphs", "fp8"],
    "batches": [2],
    "batch_variant": "eager",
    "overlap_variants": ["eager"],
    "cold_start_variants": [],
    "distance_variants": ["eager", "fp8"],
    "lora_weights": [0.0, 1.0],
    "shorten": 10,
}


def run(config: Config, *, json: bool, dry_run: bool, quick: bool = False) -> bool:
    """Measure, and print a table, or one JSON object and nothing else. False: a part broke, or a figure is not what it
    shall be; the figures of a dry run are not judged.

    Raises `SettingRefused` on a machine without a GPU, unless it is a dry run.
    """
    painter = config.generation.painters()[0]
    if dry_run or quick:
        painter = replace(painter, device="cpu", dtype="float32")
    figures = measure(painter, QUICK if quick else DRY_RUN if dry_run else FULL)
    if json:
        sys.stdout.write(json_format.dumps(figures) + "\n")
    else:
        _print_table(figures)
    return figures["broken_parts"] == 0 and (dry_run or quick or good_enough(figures))


def good_enough(figures: Figures) -> bool:
    """Whether every figure reaches its bar; one that could not be taken, or is no number, does not."""

    def reached(key: str, *, bar: float, least: bool) -> bool:
        value = figures.get(key)
        if not isinstance(value, int | float) or not math.isfinite(value):
            return False
        return value >= bar if least else value <= bar

    return all(reached(key, bar=bar, least=True) for key, (_, bar) in AT_LEAST.items()) and all(
        reached(key, bar=bar, least=False) for key, (_, bar) in AT_MOST.items()
    )


def measure(painter: PainterSettings, extent: Mapping[str, Any]) -> Figures:
    """All figures. What makes a painter faster is left to the variants, whatever it is set to."""
    plain = PainterSettings()
    settings = replace(
        painter,
        vram="full",
        **{
            name: getattr(plain, name)
            for name in ("channels_last", "attention", "compile", "vae_dtype", "guided_share", "fp8", "classifier")
        },
    )
    plan = {"painter": asdict(settings), "pocket": str(POCKET), **extent}
    done = subprocess.run(
        [sys.executable, "-m", "generation.painter.bench_gpu"],
        cwd=PROGRAM_FOLDER,
        input=json_format.dumps(plan).encode(),
        stdout=subprocess.PIPE,
        check=True,
        timeout=MOST_SECONDS,
    )
    answer: dict[str, Any] = json_format.loads(done.stdout.splitlines()[-1])
    if "refused" in answer:
        raise SettingRefused(**answer["refused"])
    return answer


def _print_table(figures: Figures) -> None:
    from rich.console import Console
    from rich.table import Table

    bars = Table("figure", "value", "shall be", "% of the limit", "plain diffusers")
    for key, (plain, bar) in (AT_LEAST | AT_MOST).items():
        sign = "≥" if key in AT_LEAST else "≤"
        percent = figures.get(f"{key}_percent_of_limit")
        bars.add_row(key, _shown(figures.get(key)), f"{sign} {bar:g}", _shown(percent), _shown(figures.get(plain)))
    rest = Table("figure", "value")
    for key, value in figures.items():
        rest.add_row(key, _shown(value))
    for table in (bars, rest):
        for column in table.columns[1:]:
            column.justify = "right"
        table.columns[0].overflow = "fold"
        Console().print(table)


def _shown(value: float | str | None) -> str:
    return "–" if value is None else value if isinstance(value, str) else f"{value:,.3f}"
