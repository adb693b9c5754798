"""Who paints: our painter, set in several ways, and plain diffusers, as its documentation shows it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Protocol

import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.protocol import Progress
from generation.engine.settings import AttentionKernel, PainterSettings
from generation.painter.bench_gpu.limits import synchronize
from generation.painter.bench_gpu.recipes import batch
from generation.painter.devices import Placement, choose_placement
from generation.painter.models import silence_libraries
from generation.painter.painter import Painter
from generation.recipe import Recipe

# How the painter is set, beyond what all have in common. The first is what is shipped.
_FAST: dict[str, Any] = {"channels_last": True, "vae_dtype": "bfloat16"}
VARIANTS: dict[str, dict[str, Any]] = {
    "shipped": {},
    "eager": _FAST,
    "blocks": {**_FAST, "compile": "blocks"},
    "unet": {**_FAST, "compile": "unet"},
    "graphs": {**_FAST, "compile": "graphs"},
    "fp8": {**_FAST, "compile": "unet", "fp8": True},
    "guided_half": {"guided_share": 0.5},
}


def variant(settings: PainterSettings, name: str, attention: AttentionKernel) -> PainterSettings:
    """The settings of that variant; those that are to be fast try that attention kernel first."""
    changes = dict(VARIANTS[name])
    if "channels_last" in changes:
        changes["attention"] = attention
    return replace(settings, **changes)


class Contestant(Protocol):
    """Paints pictures of one size and one kind together, on one device."""

    @property
    def device(self) -> torch.device:
        """Where it paints."""

    def paint(self, recipes: Sequence[Recipe], on_step: Callable[[], None]) -> list[Image.Image]:
        """Their pictures, in order. `on_step` is called after each step."""


class OurPainter:
    """The painter, as a worker uses it: with previews, and PNG files that carry their recipe."""

    def __init__(self, settings: PainterSettings, model: ModelSpec) -> None:
        """Raises `SettingRefused` where the device cannot do what the settings ask for."""
        self._painter = Painter(settings)
        self._model = model

    @property
    def device(self) -> torch.device:
        return torch.device(self._painter.device)

    def paint(self, recipes: Sequence[Recipe], on_step: Callable[[], None]) -> list[Image.Image]:
        def on_progress(progress: Progress) -> None:
            on_step()

        together = batch(self._model, recipes)
        painted = self._painter.paint(together, on_progress=on_progress, cancelled=lambda: False)
        return [Image.open(BytesIO(picture.png)) for picture in painted.pictures]


class PlainDiffusers:
    """The pipeline and one call, in the same number format."""

    def __init__(self, model: ModelSpec, placement: Placement) -> None:
        self._placement = placement
        silence_libraries()
        pipeline = StableDiffusionXLPipeline.from_pretrained(model.source, dtype=placement.dtype, use_safetensors=True)
        pipeline.set_progress_bar_config(disable=True)
        self.pipeline: Any = pipeline.to(placement.device, placement.dtype)

    @property
    def device(self) -> torch.device:
        return self._placement.device

    def paint(self, recipes: Sequence[Recipe], on_step: Callable[[], None]) -> list[Image.Image]:
        def after_step(pipeline: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            on_step()
            return {}

        first = recipes[0]
        images: list[Image.Image] = self.pipeline(
            [recipe.prompt for recipe in recipes],
            width=first.width,
            height=first.height,
            num_inference_steps=first.num_inference_steps,
            guidance_scale=first.guidance_scale,
            generator=[torch.Generator().manual_seed(recipe.seed) for recipe in recipes],
            callback_on_step_end=after_step,
        ).images
        return images


def plain_diffusers(settings: PainterSettings, model: ModelSpec) -> PlainDiffusers:
    """Plain diffusers on the device and in the number format that the painter would choose."""
    return PlainDiffusers(model, choose_placement(settings))


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """Of one picture at a time: steps a second while denoising, seconds from prompt to picture, and the first one's."""

    steps_per_second: float
    seconds: float
    first_seconds: float


def time_single(contestant: Contestant, recipe: Recipe, *, rounds: int) -> Single:
    """The medians of `rounds` pictures, after one that loads and compiles."""
    first_seconds, _ = _timed(contestant, [recipe])
    timed = [_timed(contestant, [recipe]) for _ in range(rounds)]
    return Single(
        steps_per_second=statistics.median(rate for _, rate in timed),
        seconds=statistics.median(seconds for seconds, _ in timed),
        first_seconds=first_seconds,
    )


def time_batch(contestant: Contestant, recipes: Sequence[Recipe], *, rounds: int) -> float:
    """Images a second, all together at once: the median of `rounds`, after one that loads and compiles."""
    _timed(contestant, recipes)
    return len(recipes) / statistics.median(_timed(contestant, recipes)[0] for _ in range(rounds))


def _timed(contestant: Contestant, recipes: Sequence[Recipe]) -> tuple[float, float]:
    """Seconds in all, and steps a second between the first and the last step's end."""
    ends: list[float] = []
    steps = recipes[0].num_inference_steps
    done = 0

    def on_step() -> None:
        nonlocal done
        done += 1
        if done in (1, steps):  # waiting after each would slow down what is measured
            synchronize(contestant.device)
            ends.append(time.perf_counter())

    synchronize(contestant.device)
    started = time.perf_counter()
    contestant.paint(recipes, on_step)
    synchronize(contestant.device)
    return time.perf_counter() - started, (steps - 1) / (ends[-1] - ends[0])
