"""Every figure of `python -m bot bench gpu`, one after the other, so that one model at a time is on the device."""

from __future__ import annotations

import gc
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import torch

from generation.catalogue import LoraSpec, ModelSpec
from generation.engine.settings import PainterSettings
from generation.errors import OutOfMemory, SettingRefused
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
from generation.painter.bench_gpu.limits import Limit, count_work, eight_bit_rate, matrix_rate, synchronize
from generation.painter.bench_gpu.plan import Plan
from generation.painter.bench_gpu.random_model import SIZES, save_lora, save_model
from generation.painter.bench_gpu.recipes import square, squares
from generation.painter.devices import choose_placement, free_memory
from generation.painter.models import load_model
from generation.recipe import LoraUse, Recipe

Figures: TypeAlias = dict[str, float | str | None]
Maker: TypeAlias = Callable[[], Contestant]
Pixels: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.int16]]

LONG, SHORT, DRAFT = 30, 20, 4  # denoising steps; drafts are without guidance
COMPILED = ("blocks", "unet", "graphs")
SWITCHES = 20
DISTANCE_PICTURES = 4
# The embedded model, as it is shipped.
POCKET: dict[str, Any] = {
    "name": "pocket",
    "native_size": 128,
    "num_inference_steps": 20,
    "guidance_scale": 4.5,
    "cross_attention_dim": 160,
}


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
        bench.lora_switches()
        if plan.cold_starts:
            bench.cold_starts()
        bench.distances()
        return bench.figures


class _Bench:
    """Measures part by part; what comes later uses what was found before (the best kernel, the best batch)."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.figures: Figures = {}
        self._plan = plan
        self._folder = folder
        self._size = SIZES[plan.size]
        self._settings = replace(plan.painter, compile_folder=str(folder / "compiled"))
        self._placement = choose_placement(self._settings)
        self._attention_order = torch._C._get_sdp_priority_order()
        _say(f"a model of random weights, size {plan.size}")
        save_model(self._size, folder / "model", device=self._placement.device, dtype=self._placement.dtype)

    def hardware(self) -> None:
        """The device, its rates, the limit that follows, and the kernel that the variants try first."""
        device, dtype = self._placement.device, self._placement.dtype
        _say("matrix products")
        self._note("device", torch.cuda.get_device_name(device) if device.type == "cuda" else device.type)
        self._note("torch", torch.__version__)
        self._note("dtype", str(dtype).removeprefix("torch."))
        self._limit = Limit(
            work=count_work(self._size), rate=matrix_rate(device, dtype), eight_bits=eight_bit_rate(device)
        )
        self._note("matrix_tflops", self._limit.rate / 1e12)
        self._note("matrix_tflops_fp8", None if self._limit.eight_bits is None else self._limit.eight_bits / 1e12)
        self._note("unet_tflop", self._limit.work.unet / 1e12)
        self._note("limit_steps_per_second", 1 / self._limit.step_seconds())
        for steps in (LONG, SHORT):
            self._note(f"limit_images_per_second_{steps}", 1 / self._limit.picture_seconds(steps))
        self._note("limit_draft_images_per_second", 1 / self._limit.picture_seconds(DRAFT, rows=1))
        times = time_attention(self._size, device, dtype)
        for kernel, milliseconds in times.items():
            self._note(f"attention_{kernel}_ms", milliseconds)
        self._attention = fastest(times)
        self._note("attention", self._attention)

    def singles(self) -> None:
        """One guided picture at a time."""
        model = self._model(max_batch=1)
        self._single("plain", partial(plain_diffusers, self._settings, model))
        for name in self._plan.variants:
            self._single(name, partial(self._painter, name, model))
        self._note("compiled_steps_per_second", self._best(f"{name}_steps_per_second" for name in COMPILED))
        self._note_percent("compiled_steps_per_second", self._limit.step_seconds())

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
            self._note(key, self._best(f"batch_{count}_images_per_second_{steps}" for count in plan.batches))
            self._note_percent(key, self._limit.picture_seconds(steps))
        speeds = {count: self._number(f"batch_{count}_images_per_second_{LONG}") or 0 for count in plan.batches}
        self._best_batch = max(speeds, key=lambda count: speeds[count])
        self._note("best_batch", float(self._best_batch))

        model = self._model(max_batch=self._best_batch)
        for steps in (LONG, SHORT):
            recipes = squares(model, self._best_batch, steps=self._steps(steps))
            self._batch(f"plain_images_per_second_{steps}", partial(plain_diffusers, self._settings, model), recipes)
        recipes = squares(model, self._best_batch, steps=self._steps(SHORT))
        self._batch(f"fp8_images_per_second_{SHORT}", partial(self._painter, "fp8", model), recipes)
        self._note_percent(f"fp8_images_per_second_{SHORT}", self._limit.picture_seconds(SHORT, fp8=True))

    def drafts(self) -> None:
        """A few steps without guidance, in the best batch."""
        model = self._model(max_batch=self._best_batch)
        recipes = squares(model, self._best_batch, steps=self._steps(DRAFT), guidance_scale=1.0)
        painter = partial(self._painter, self._plan.batch_variant, model)
        self._batch("draft_images_per_second", painter, recipes)
        self._note_percent("draft_images_per_second", self._limit.picture_seconds(DRAFT, rows=1))
        self._batch("plain_draft_images_per_second", partial(plain_diffusers, self._settings, model), recipes)

    def lora_switches(self) -> None:
        """From one LoRA to another that was read before; milliseconds until the device has done it."""
        _say("LoRA switches")
        loras = [save_lora(self._size, self._folder, f"lora-{seed}", seed=seed) for seed in range(2)]
        model = self._model(max_batch=1)
        with self._trying():
            self._note("lora_switch_ms", self._own_switch_ms(model, loras))
        with self._trying():
            self._note("plain_lora_switch_ms", self._plain_switch_ms(model, loras))

    def cold_starts(self) -> None:
        """Fresh processes, from nothing to a picture; the second has what the first one compiled."""
        model = self._model(max_batch=1)
        settings = replace(
            self._variant(self._plan.batch_variant), compile_folder=str(self._folder / "compiled-at-start")
        )
        for key in ("cold_start_uncached_seconds", "cold_start_seconds"):
            _say("a cold start")
            self._note(key, cold_start(settings, model, steps=self._steps(LONG)))
        _say("a cold start of plain diffusers")
        self._note("plain_cold_start_seconds", cold_start(self._settings, model, steps=self._steps(LONG), plain=True))

    def distances(self) -> None:
        """How far the variants' pictures of the embedded model are from those of the shipped settings, in 255ths."""
        model = ModelSpec(source=self._plan.pocket, **POCKET)
        recipes = squares(model, DISTANCE_PICTURES, steps=self._steps(SHORT))
        pictures: dict[str, list[Pixels]] = {}
        for name in dict.fromkeys(("shipped", *self._plan.distance_variants)):
            _say(f"distance of {name}")
            with self._trying():
                pictures[name] = _pixels(self._painter(name, model), recipes)
        for name in self._plan.distance_variants:
            # Eight bits beside the same in bfloat16; everything else beside what is shipped.
            base = "unet" if name == "fp8" and "unet" in pictures else "shipped"
            if name not in pictures:
                self.figures |= {f"{name}_distance_mean": None, f"{name}_distance_max": None}
                continue
            apart = [np.abs(one - other) for one, other in zip(pictures[name], pictures[base], strict=True)]
            self._note(f"{name}_distance_mean", float(np.mean([each.mean() for each in apart])))
            self._note(f"{name}_distance_max", float(max(each.max() for each in apart)))

    # Parts of the above

    def _single(self, name: str, make: Maker) -> None:
        _say(f"single pictures: {name}")
        device = self._placement.device
        recipe = square(self._model(max_batch=1), "a red boat on the sea", steps=self._steps(LONG))
        single: Single | None = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        with self._trying():
            single = time_single(make(), recipe, rounds=self._plan.rounds)
        self._note(f"{name}_steps_per_second", None if single is None else single.steps_per_second)
        self._note_percent(f"{name}_steps_per_second", self._limit.step_seconds(fp8=name == "fp8"))
        self._note(f"{name}_picture_seconds", None if single is None else single.seconds)
        self._note(f"{name}_first_picture_seconds", None if single is None else single.first_seconds)
        if device.type == "cuda":
            self._note(f"{name}_memory_gb", torch.cuda.max_memory_allocated(device) / 1e9)

    def _batch(self, key: str, make: Maker, recipes: Sequence[Recipe]) -> None:
        _say(f"{len(recipes)} pictures at once")
        speed: float | None = None
        with self._trying():
            speed = time_batch(make(), recipes, rounds=self._plan.rounds)
        self._note(key, speed)

    def _own_switch_ms(self, model: ModelSpec, loras: Sequence[LoraSpec]) -> float:
        adapters = load_model(model, choose_placement(self._variant(self._plan.batch_variant))).adapters
        return self._switch_ms(lambda lora: adapters.switch((LoraUse(name=lora.name),), loras), loras)

    def _plain_switch_ms(self, model: ModelSpec, loras: Sequence[LoraSpec]) -> float:
        pipeline = plain_diffusers(self._settings, model).pipeline
        warnings.simplefilter("ignore")  # peft's, that a model has several adapters: that is the point
        for lora in loras:
            pipeline.load_lora_weights(str(lora.path.parent), weight_name=lora.path.name, adapter_name=lora.name)
        return self._switch_ms(lambda lora: pipeline.set_adapters([lora.name]), loras)

    def _switch_ms(self, switch: Callable[[LoraSpec], object], loras: Sequence[LoraSpec]) -> float:
        times = []
        for number in range(SWITCHES + len(loras)):
            synchronize(self._placement.device)
            started = time.perf_counter()
            switch(loras[number % len(loras)])
            synchronize(self._placement.device)
            times.append(time.perf_counter() - started)
        return statistics.median(times[len(loras) :]) * 1000  # the first ones read the files

    def _model(self, *, max_batch: int) -> ModelSpec:
        return self._size.spec(self._folder / "model", steps=LONG, max_batch=max_batch)

    def _painter(self, name: str, model: ModelSpec) -> OurPainter:
        return OurPainter(self._variant(name), model)

    def _variant(self, name: str) -> PainterSettings:
        return variant(self._settings, name, self._attention)

    def _steps(self, steps: int) -> int:
        return max(2, steps // self._plan.shorten)  # from the first one's end to the last one's is measured

    def _best(self, keys: Iterable[str]) -> float | None:
        return max((value for key in keys if (value := self._number(key)) is not None), default=None)

    def _number(self, key: str) -> float | None:
        value = self.figures.get(key)
        return value if isinstance(value, float) else None

    def _note(self, key: str, value: float | str | None) -> None:
        self.figures[key] = value
        _say(f"  {key}: {value}")

    def _note_percent(self, key: str, least_seconds: float) -> None:
        """What share of the limit a rate is: a second's worth of steps or pictures, at the least they could take."""
        rate = self._number(key)
        self._note(f"{key}_percent_of_limit", None if rate is None else 100 * rate * least_seconds)

    @contextmanager
    def _trying(self) -> Iterator[None]:
        """Goes on without what the device cannot do or hold; afterwards its memory is free for what comes next."""
        try:
            yield
        except (SettingRefused, OutOfMemory, torch.OutOfMemoryError) as error:
            _say(f"  left out: {error}")
        torch._C._set_sdp_priority_order(self._attention_order)
        gc.collect()
        torch.compiler.reset()
        gc.collect()
        free_memory(self._placement.device)


def _pixels(painter: OurPainter, recipes: Sequence[Recipe]) -> list[Pixels]:
    """Each painted alone."""
    return [np.asarray(painter.paint([recipe], lambda: None)[0], dtype=np.int16) for recipe in recipes]


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()
