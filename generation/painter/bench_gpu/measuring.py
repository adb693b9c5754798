"""Every figure of `python -m bot bench gpu`, one after the other, so that one model at a time is on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import torch
from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.settings import PainterSettings
from generation.errors import SettingRefused
from generation.painter.bench_gpu.attention_kernels import fastest, time_attention
from generation.painter.bench_gpu.cold_start import cold_start
from generation.painter.bench_gpu.contestants import (
    Contestant,
    OurPainter,
    Single,
    plain_diffusers,
    time_batch,
    time_single,
    variant,
)
from generation.painter.bench_gpu.distances import apart, embedded_loras, embedded_model, with_classifier
from generation.painter.bench_gpu.limits import Limit, count_work, eight_bit_rate, matrix_rate
from generation.painter.bench_gpu.lora_rounding import FIGURES, measure_rounding
from generation.painter.bench_gpu.lora_switches import own_switch_ms, plain_switch_ms
from generation.painter.bench_gpu.notes import Figures, Notes, say
from generation.painter.bench_gpu.plan import Plan
from generation.painter.bench_gpu.random_model import SIZES, save_lora, save_model
from generation.painter.bench_gpu.recipes import square, squares
from generation.painter.bench_gpu.rows import Overlapped, time_overlap
from generation.painter.devices import choose_placement
from generation.recipe import Recipe

Maker: TypeAlias = Callable[[], Contestant]

LONG, SHORT, DRAFT = 30, 20, 4  # denoising steps; drafts are without guidance
COMPILED = ("blocks", "unet", "graphs")
DISTANCE_PICTURES = 4


def measure(plan: Plan) -> Figures:
    """All figures that `bot/bench_gpu.py` explains; None for what the device cannot do.

    Raises `SettingRefused` where the plan needs a GPU and there is none.
    """
    device = choose_placement(plan.painter).device
    if plan.needs_gpu and device.type != "cuda":
        reason = f"the bench measures a CUDA GPU, and this machine draws on {device.type}"
        raise SettingRefused(setting="devices", reason=f"{reason}; --dry-run tries everything with a small model")
    with TemporaryDirectory(prefix="limner-bench-gpu-") as folder:
        bench = _Bench(plan, Path(folder))
        bench.hardware()
        bench.singles()
        bench.batches()
        bench.drafts()
        bench.overlaps()
        bench.lora_switches()
        bench.cold_starts()
        bench.distances()
        bench.lora_rounding()
        return bench.figures()


class _Bench:
    """Measures part by part; what comes later uses what was found before (the best kernel, the best batch)."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        self._folder = folder
        self._size = SIZES[plan.size]
        self._settings = replace(plan.painter, compile_folder=str(folder / "compiled"))
        self._placement = choose_placement(self._settings)
        self._notes = Notes(self._placement.device)
        say(f"a model of random weights, size {plan.size}")
        save_model(self._size, folder / "model", device=self._placement.device, dtype=self._placement.dtype)

    def figures(self) -> Figures:
        """What was found, and how much could not be because something broke."""
        return self._notes.figures | {"broken_parts": float(self._notes.broken_parts)}

    def hardware(self) -> None:
        """The device, its rates, the limit that follows, and the kernel that the variants try first."""
        device, dtype = self._placement.device, self._placement.dtype
        say("matrix products")
        self._notes.note("device", torch.cuda.get_device_name(device) if device.type == "cuda" else device.type)
        self._notes.note("torch", torch.__version__)
        self._notes.note("dtype", str(dtype).removeprefix("torch."))
        eight_bits: float | None = None
        with self._notes.trying():
            eight_bits = eight_bit_rate(device)
        self._limit = Limit(work=count_work(self._size), rate=matrix_rate(device, dtype), eight_bits=eight_bits)
        self._notes.note("matrix_tflops", self._limit.rate / 1e12)
        self._notes.note("matrix_tflops_fp8", None if eight_bits is None else eight_bits / 1e12)
        self._notes.note("unet_tflop", self._limit.work.unet / 1e12)
        self._notes.note("limit_steps_per_second", 1 / self._limit.step_seconds())
        for steps in (LONG, SHORT):
            self._notes.note(f"limit_images_per_second_{steps}", 1 / self._limit.picture_seconds(steps))
        self._notes.note("limit_draft_images_per_second", 1 / self._limit.picture_seconds(DRAFT, rows=1))
        times = time_attention(self._size, device, dtype)
        for kernel, milliseconds in times.items():
            self._notes.note(f"attention_{kernel}_ms", milliseconds)
        self._attention = fastest(times)
        self._notes.note("attention", self._attention)

    def singles(self) -> None:
        """One guided picture at a time."""
        model = self._model(max_batch=1)
        self._single("plain", partial(plain_diffusers, self._settings, model))
        for name in self._plan.variants:
            self._single(name, partial(self._painter, name, model))
        self._notes.note("compiled_steps_per_second", self._notes.best(f"{name}_steps_per_second" for name in COMPILED))
        self._notes.note_share("compiled_steps_per_second", self._limit.step_seconds())

    def batches(self) -> None:
        """Several pictures at once, by the variant for batches; the best number, and the others beside it there."""
        plan = self._plan
        for count in plan.batches:
            model = self._model(max_batch=count)
            for steps in (LONG, SHORT):
                recipes = squares(model, count, steps=self._steps(steps))
                painter = partial(self._painter, plan.batch_variant, model)
                self._batch(f"batch_{count}_images_per_second_{steps}", painter, recipes)
        for steps in (LONG, SHORT):
            key = f"best_images_per_second_{steps}"
            self._notes.note(
                key, self._notes.best(f"batch_{count}_images_per_second_{steps}" for count in plan.batches)
            )
            self._notes.note_share(key, self._limit.picture_seconds(steps))
        speeds = {count: self._notes.number(f"batch_{count}_images_per_second_{LONG}") or 0 for count in plan.batches}
        self._best_batch = max(speeds, key=lambda count: speeds[count])
        self._notes.note("best_batch", float(self._best_batch))

        model = self._model(max_batch=self._best_batch)
        for steps in (LONG, SHORT):
            recipes = squares(model, self._best_batch, steps=self._steps(steps))
            self._batch(f"plain_images_per_second_{steps}", partial(plain_diffusers, self._settings, model), recipes)
        recipes = squares(model, self._best_batch, steps=self._steps(SHORT))
        self._batch(f"fp8_images_per_second_{SHORT}", partial(self._painter, "fp8", model), recipes)
        self._notes.note_share(f"fp8_images_per_second_{SHORT}", self._limit.picture_seconds(SHORT, fp8=True))

    def drafts(self) -> None:
        """A few steps without guidance, in the best batch."""
        model = self._model(max_batch=self._best_batch)
        recipes = squares(model, self._best_batch, steps=self._steps(DRAFT), guidance_scale=1.0)
        painter = partial(self._painter, self._plan.batch_variant, model)
        self._batch("draft_images_per_second", painter, recipes)
        self._notes.note_share("draft_images_per_second", self._limit.picture_seconds(DRAFT, rows=1))
        self._batch("plain_draft_images_per_second", partial(plain_diffusers, self._settings, model), recipes)

    def overlaps(self) -> None:
        """A row of batches, each finished beside the next one or before it. Pictures shall be the same both ways."""
        folder, steps = Path(self._plan.pocket), self._steps(SHORT)
        for name in self._plan.overlap_variants:
            say(f"a row of batches: {name}")
            settings = with_classifier(self._variant(name), folder)
            drawn: list[Overlapped] = []
            # The embedded model's pictures are more than noise, so that a difference would show.
            for model in (self._model(max_batch=self._best_batch), embedded_model(folder)):
                with self._notes.trying():
                    drawn.append(time_overlap(settings, model, steps=steps, rounds=self._plan.rounds))
            both = len(drawn) == 2
            self._notes.note(f"{name}_overlapped_images_per_second", drawn[0].images_per_second if both else None)
            self._notes.note(f"{name}_in_turn_images_per_second", drawn[0].in_turn if both else None)
            self._notes.note(f"{name}_overlap_ratio", drawn[0].ratio if both else None)
            self._notes.note(f"{name}_overlap_distance_max", max(one.most_apart for one in drawn) if both else None)

    def lora_switches(self) -> None:
        """From one LoRA to another that was read before; milliseconds until the device has done it."""
        say("LoRA switches")
        loras = [save_lora(self._size, self._folder, f"lora-{seed}", seed=seed) for seed in range(2)]
        model = self._model(max_batch=1)
        self._notes.take("lora_switch_ms", lambda: own_switch_ms(self._variant(self._plan.batch_variant), model, loras))
        self._notes.take("plain_lora_switch_ms", lambda: plain_switch_ms(self._settings, model, loras))

    def cold_starts(self) -> None:
        """Fresh processes, from nothing to a picture; the second has what the first one compiled."""
        model, steps = self._model(max_batch=1), self._steps(LONG)
        for name in self._plan.cold_start_variants:
            settings = replace(self._variant(name), compile_folder=str(self._folder / f"compiled-at-start-{name}"))
            for key in (f"{name}_cold_start_uncached_seconds", f"{name}_cold_start_seconds"):
                say("a cold start")
                self._notes.take(key, partial(self._cold_start, settings, model, steps))
        if self._plan.cold_start_variants:
            say("a cold start of plain diffusers")
            self._notes.take(
                "plain_cold_start_seconds", lambda: cold_start(self._settings, model, steps=steps, plain=True)
            )

    def distances(self) -> None:
        """How far the variants' pictures of the embedded model are from those of the shipped settings, in 255ths."""
        model = embedded_model(Path(self._plan.pocket))
        recipes = squares(model, DISTANCE_PICTURES, steps=self._steps(SHORT))
        pictures: dict[str, list[Image.Image]] = {}
        for name in dict.fromkeys(("shipped", *self._plan.distance_variants)):
            say(f"distance of {name}")
            with self._notes.trying():
                pictures[name] = _one_by_one(self._painter(name, model), recipes)
        for name in self._plan.distance_variants:
            # Eight bits beside the same in bfloat16; everything else beside what is shipped.
            base = "unet" if name == "fp8" and "unet" in pictures else "shipped"
            found = apart(pictures[name], pictures[base]) if {name, base} <= pictures.keys() else None
            self._notes.note(f"{name}_distance_mean", None if found is None else found.mean)
            self._notes.note(f"{name}_distance_max", None if found is None else found.most)

    def lora_rounding(self) -> None:
        """How far pictures with LoRAs are from peft's, in bfloat16, and for scale what bfloat16 changes in both."""
        folder = Path(self._plan.pocket)
        model = embedded_model(folder)
        recipes = squares(model, DISTANCE_PICTURES, steps=self._steps(SHORT))
        loras = embedded_loras(folder)
        for weight in self._plan.lora_weights:
            say(f"LoRAs at {weight}")
            found: dict[str, float | None] = dict.fromkeys(FIGURES)
            with self._notes.trying():
                found |= measure_rounding(model, self._settings, loras, recipes, weight=weight)
            for name, value in found.items():
                self._notes.note(f"lora_{100 * weight:.0f}_{name}", value)

    # Parts of the above

    def _single(self, name: str, make: Maker) -> None:
        say(f"single pictures: {name}")
        device = self._placement.device
        recipe = square(self._model(max_batch=1), "a red boat on the sea", steps=self._steps(LONG))
        single: Single | None = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with self._notes.trying():
            single = time_single(make(), recipe, rounds=self._plan.rounds)
        self._notes.note(f"{name}_steps_per_second", None if single is None else single.steps_per_second)
        self._notes.note_share(f"{name}_steps_per_second", self._limit.step_seconds(fp8=name == "fp8"))
        self._notes.note(f"{name}_picture_seconds", None if single is None else single.seconds)
        self._notes.note(f"{name}_first_picture_seconds", None if single is None else single.first_seconds)
        if device.type == "cuda":
            self._notes.note(f"{name}_memory_gb", torch.cuda.max_memory_allocated(device) / 1e9)

    def _batch(self, key: str, make: Maker, recipes: Sequence[Recipe]) -> None:
        say(f"{len(recipes)} pictures at once")
        self._notes.take(key, lambda: time_batch(make(), recipes, rounds=self._plan.rounds))

    def _cold_start(self, settings: PainterSettings, model: ModelSpec, steps: int) -> float:
        choose_placement(settings)  # refuses here what the process would be ended by
        return cold_start(settings, model, steps=steps)

    def _model(self, *, max_batch: int) -> ModelSpec:
        return self._size.spec(self._folder / "model", steps=LONG, max_batch=max_batch)

    def _painter(self, name: str, model: ModelSpec) -> OurPainter:
        return OurPainter(self._variant(name), model)

    def _variant(self, name: str) -> PainterSettings:
        return variant(self._settings, name, self._attention)

    def _steps(self, steps: int) -> int:
        return max(2, steps // self._plan.shorten)  # from the first one's end to the last one's is measured


def _one_by_one(painter: Contestant, recipes: Sequence[Recipe]) -> list[Image.Image]:
    return [painter.paint([recipe], lambda: None)[0] for recipe in recipes]
