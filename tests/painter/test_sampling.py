"""What a recipe asks of sampling: samplers, noise, weird, stop, edges that meet, two passes. On a tiny model."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import statistics
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, EulerDiscreteScheduler

from generation.catalogue import ModelSpec
from generation.engine.protocol import Picture, Progress
from generation.engine.settings import PainterSettings
from generation.errors import PaintingCancelled
from generation.painter.latents import draw_noise, seed_generator, share_noise
from generation.painter.models import load_model
from generation.painter.painter import Painter
from generation.painter.schedulers import SCHEDULERS, make_scheduler, own_name
from generation.painter.seamless import MARGIN, seamless, trimmed, wrapped
from generation.recipe import MAX_STEPS, Hires, Recipe, Source
from generation.samplers import SAMPLERS
from tests.painter.tiny_sdxl import build_pipeline, distance, paint, pixels, recipe, spec_for

ROUNDING = 0.2  # see test_painting.py


def one(painter: Painter, model: ModelSpec, wanted: Recipe, source: bytes | None = None) -> Picture:
    return paint(painter, model, wanted, sources=(source,) if source else ()).pictures[0]


class TestSamplers:
    def test_each_name_is_a_scheduler(self) -> None:
        assert list(SAMPLERS) == list(SCHEDULERS)

    @pytest.mark.parametrize("scheduler", SAMPLERS)
    def test_alone_and_in_a_batch_it_is_the_same_picture(
        self, painter: Painter, tiny: ModelSpec, scheduler: str
    ) -> None:
        """Those that draw noise on the way draw it for each picture from its own seed."""
        recipes = [recipe(seed=seed, scheduler=scheduler) for seed in (1, 2)]
        together = paint(painter, tiny, *recipes).pictures
        for wanted, picture in zip(recipes, together, strict=True):
            assert distance(one(painter, tiny, wanted), picture) <= ROUNDING

    @pytest.mark.parametrize("scheduler", SAMPLERS)
    def test_those_that_draw_noise_are_marked(self, painter: Painter, tiny: ModelSpec, scheduler: str) -> None:
        drawn: list[object] = []
        with pytest.MonkeyPatch.context() as patch:
            randn = torch.randn

            def watched(*arguments: object, generator: object = None, **options: object) -> torch.Tensor:
                assert generator is not None, "noise from nowhere"
                drawn.append(generator)
                return randn(*arguments, generator=generator, **options)  # type: ignore[call-overload, no-any-return]

            patch.setattr("diffusers.utils.torch_utils.torch.randn", watched)
            one(painter, tiny, recipe(scheduler=scheduler))
        assert (len(drawn) > 1) == SAMPLERS[scheduler].stochastic  # one draw is the noise that it starts from

    @pytest.mark.parametrize("steps", [1, 2, 51, MAX_STEPS])
    def test_lcm_takes_any_number_of_steps(self, steps: int) -> None:
        scheduler = make_scheduler(EulerDiscreteScheduler(), "lcm", steps)
        scheduler.set_timesteps(steps)
        assert len(scheduler.timesteps) == steps
        assert scheduler.timesteps[0] >= 990

    @pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
    @pytest.mark.parametrize("name", SAMPLERS)
    def test_what_the_model_predicts_and_its_noise_are_kept(self, name: str, prediction: str) -> None:
        own = EulerDiscreteScheduler(beta_start=0.002, beta_end=0.01, prediction_type=prediction)
        config = make_scheduler(own, name, 20).config
        assert (config.prediction_type, config.beta_start, config.beta_end) == (prediction, 0.002, 0.01)

    def test_a_models_own_is_named_where_it_has_a_name(self) -> None:
        assert own_name(EulerDiscreteScheduler()) == "euler"
        assert own_name(DPMSolverMultistepScheduler(use_karras_sigmas=True)) == "dpmpp_2m_karras"
        assert own_name(DPMSolverMultistepScheduler(solver_order=3)) is None
        for name in SAMPLERS:
            assert own_name(make_scheduler(EulerDiscreteScheduler(), name, 20)) == name


class TestSharedNoise:
    def test_the_more_is_shared_the_more_alike_they_are(self, painter: Painter, tiny: ModelSpec) -> None:
        spreads = []
        for share in (1.0, 0.6, 0.3, 0.0):
            recipes = [recipe(seed=seed, shared_seed=1, shared_noise=share) for seed in (1, 2, 3, 4)]
            pictures = paint(painter, tiny, *recipes).pictures
            spreads.append(statistics.fmean(itertools.starmap(distance, itertools.combinations(pictures, 2))))
        assert spreads == sorted(spreads)
        assert spreads[0] <= ROUNDING

    def test_whose_seed_is_shared_is_as_it_would_be_alone(self, painter: Painter, tiny: ModelSpec) -> None:
        plain = one(painter, tiny, recipe(seed=3))
        assert distance(one(painter, tiny, recipe(seed=3, shared_seed=3, shared_noise=0.6)), plain) == 0
        assert distance(one(painter, tiny, recipe(seed=3, shared_seed=4, shared_noise=0)), plain) == 0
        assert distance(one(painter, tiny, recipe(seed=3, shared_seed=4, shared_noise=0.6)), plain) > 5

    def test_the_mixture_is_as_strong_as_either(self, tiny: ModelSpec) -> None:
        vae = load_model(tiny, Painter(PainterSettings(device="cpu"))._placement).vae
        size = (512, 512)
        noise = draw_noise([seed_generator(1)], vae, *size)
        for share in (0.2, 0.5, 0.9):
            mixed = share_noise(noise, [recipe(seed=1, shared_seed=2, shared_noise=share)], vae, *size)
            assert mixed.std() == pytest.approx(1, abs=0.02)
            assert float((mixed * noise).mean()) == pytest.approx((1 - share) ** 0.5, abs=0.03)


class TestWeird:
    def test_further_with_every_degree(self, painter: Painter, tiny: ModelSpec) -> None:
        plain = paint(painter, tiny, *(recipe(seed=seed) for seed in range(4))).pictures
        means = []
        for weird in (0, 100, 1000, 3000):
            pictures = paint(painter, tiny, *(recipe(seed=seed, weird=weird) for seed in range(4))).pictures
            means.append(statistics.fmean(map(distance, pictures, plain)))
        assert means == sorted(means)
        assert means[0] == 0
        assert means[1] > 0

    def test_its_own_for_each_seed_and_the_same_whoever_is_beside_it(self, painter: Painter, tiny: ModelSpec) -> None:
        recipes = [recipe(seed=1, weird=800), recipe(seed=2), recipe(seed=3, weird=3000)]
        together = paint(painter, tiny, *recipes).pictures
        for wanted, picture in zip(recipes, together, strict=True):
            assert distance(one(painter, tiny, wanted), picture) <= ROUNDING


class TestStop:
    @pytest.mark.parametrize("scheduler", [None, "heun", "dpmpp_2m", "euler_a", "dpmpp_sde", "unipc", "lcm"])
    def test_as_many_steps_as_it_says(self, painter: Painter, tiny: ModelSpec, scheduler: str | None) -> None:
        seen: list[Progress] = []
        wanted = recipe(num_inference_steps=10, stop=0.35, scheduler=scheduler)
        picture = paint(painter, tiny, wanted, on_progress=seen.append).pictures[0]
        assert (seen[-1].step, seen[-1].steps) == (4, 4)
        assert pixels(picture).std() > 1

    def test_later_is_nearer_to_the_finished_picture(self, painter: Painter, tiny: ModelSpec) -> None:
        finished = one(painter, tiny, recipe(num_inference_steps=10))
        distances = [
            distance(one(painter, tiny, recipe(num_inference_steps=10, stop=stop)), finished)
            for stop in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
        ]
        assert distances == sorted(distances, reverse=True)
        assert distances[-1] == 0

    def test_the_next_picture_is_finished(self, painter: Painter, tiny: ModelSpec) -> None:
        before = one(painter, tiny, recipe()).png
        one(painter, tiny, recipe(stop=0.5))
        assert one(painter, tiny, recipe()).png == before


class TestSeamless:
    @pytest.mark.parametrize("tile", [True, False])
    def test_with_no_edges_no_place_is_special(
        self, painter: Painter, tiny: ModelSpec, monkeypatch: pytest.MonkeyPatch, tile: bool
    ) -> None:
        """From noise that is moved, around the edges too, comes the same picture, moved by as much."""
        picture = pixels(one(painter, tiny, recipe(tile=tile)))
        monkeypatch.setattr(
            "generation.painter.forward_pass.draw_noise",
            lambda *arguments: draw_noise(*arguments).roll((2, 4), dims=(2, 3)),
        )
        moved = pixels(one(painter, tiny, recipe(tile=tile)))
        difference = float(np.abs(np.roll(picture, (16, 32), axis=(0, 1)) - moved).mean())
        assert (difference <= ROUNDING) == tile

    def test_sides_that_the_network_cannot_halve(self, painter: Painter, tiny: ModelSpec) -> None:
        across, inside = seam_steps(one(painter, tiny, recipe(width=104, height=72, tile=True)))
        assert across < 1.2 * inside

    def test_the_next_picture_has_edges_again(self, painter: Painter, tiny: ModelSpec) -> None:
        before = one(painter, tiny, recipe()).png
        one(painter, tiny, recipe(tile=True))
        assert one(painter, tiny, recipe()).png == before
        with pytest.raises(PaintingCancelled):
            paint(painter, tiny, recipe(tile=True), cancelled=lambda: True)
        assert one(painter, tiny, recipe()).png == before

    def test_a_vae_in_tiles_sees_the_opposite_edges_too(
        self, painter: Painter, tiny: ModelSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("generation.painter.latents.TILED_FROM_PIXELS", 128 * 128)
        pictures = [one(painter, tiny, recipe(width=128, height=128, seed=seed, tile=True)) for seed in range(2)]
        assert painter._models.current is not None
        assert painter._models.current.vae.use_tiling
        across, inside = (statistics.fmean(values) for values in zip(*map(seam_steps, pictures), strict=True))
        assert across < 1.2 * inside

    def test_from_a_picture_in_windows_and_in_two_passes(self, painter: Painter, tiny: ModelSpec) -> None:
        small = one(painter, tiny, recipe(tile=True))
        size = {"width": 128, "height": 128, "tile": True}
        source = Source(digest="", strength=0.5)
        pictures = [
            one(painter, tiny, recipe(**size, source=source), small.png),
            one(painter, tiny, recipe(**size, hires=Hires(width=64, height=64, strength=0.5))),
        ]
        for picture in pictures:
            across, inside = seam_steps(picture)
            assert across < 1.3 * inside

    def test_convolutions_are_as_they_were_afterwards(self) -> None:
        ones = [torch.nn.Conv2d(1, 1, 3, padding=1), torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")]
        with seamless(*ones):
            assert [each.padding_mode for each in ones] == ["circular", "reflect"]
        assert [each.padding_mode for each in ones] == ["zeros", "reflect"]

    def test_wrapped_and_trimmed_again(self) -> None:
        values = torch.randn(1, 4, MARGIN, MARGIN + 3)
        around = wrapped(values, MARGIN)
        torch.testing.assert_close(around[..., :MARGIN, MARGIN:-MARGIN], values[..., -MARGIN:, :])
        torch.testing.assert_close(trimmed(around, MARGIN), values)


class TestTwoPasses:
    def test_the_second_follows_the_first(self, painter: Painter, tiny: ModelSpec) -> None:
        seen: list[Progress] = []
        hires = Hires(width=64, height=64, strength=0.5)
        wanted = recipe(num_inference_steps=6, width=128, height=128, hires=hires)
        picture = paint(painter, tiny, wanted, on_progress=seen.append).pictures[0]
        assert (picture.width, picture.height) == (128, 128)
        assert [progress.step for progress in seen] == list(range(1, 10))
        assert {progress.steps for progress in seen} == {9}

    def test_the_less_strength_the_nearer_to_the_first(self, painter: Painter, tiny: ModelSpec) -> None:
        first = pixels(one(painter, tiny, recipe(num_inference_steps=8))).repeat(2, axis=0).repeat(2, axis=1)
        distances = []
        for strength in (0.0, 0.25, 0.5, 1.0):
            hires = Hires(width=64, height=64, strength=strength)
            wanted = recipe(num_inference_steps=8, width=128, height=128, hires=hires)
            distances.append(float(np.abs(pixels(one(painter, tiny, wanted)) - first).mean()))
        assert distances == sorted(distances)

    @pytest.mark.parametrize("scheduler", ["euler_a", "heun"])
    def test_alone_and_in_a_batch_it_is_the_same_picture(
        self, painter: Painter, tiny: ModelSpec, scheduler: str
    ) -> None:
        hires = Hires(width=64, height=64, strength=0.5)
        recipes = [recipe(seed=seed, width=96, height=96, hires=hires, scheduler=scheduler) for seed in (1, 2)]
        together = paint(painter, tiny, *recipes).pictures
        assert distance(one(painter, tiny, recipes[1]), together[1]) <= ROUNDING


def test_everything_at_once(painter: Painter, tiny: ModelSpec) -> None:
    wanted = recipe(
        num_inference_steps=8,
        width=128,
        height=96,
        scheduler="dpmpp_2m_sde_karras",
        shared_seed=1,
        shared_noise=0.4,
        weird=200,
        stop=0.6,
        tile=True,
        hires=Hires(width=64, height=48, strength=0.7),
    )
    seen: list[Progress] = []
    picture = paint(painter, tiny, wanted, on_progress=seen.append).pictures[0]
    assert (picture.width, picture.height) == (128, 96)
    assert seen[-1].step == seen[-1].steps == wanted.steps_to_run == 11
    others = [dataclasses.replace(wanted, **{name: value}) for name, value in DEFAULTS.items()]
    for other in others:
        assert distance(one(painter, tiny, other), picture) > ROUNDING, other


# Each takes one thing out of the recipe above.
DEFAULTS: dict[str, object] = {
    "scheduler": None,
    "shared_noise": 0.0,
    "weird": 0,
    "stop": 1.0,
    "tile": False,
    "hires": None,
}


def test_one_model_goes_before_the_next_comes(tiny: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(2):
        build_pipeline(seed=number + 1).save_pretrained(tmp_path / str(number))
    models = [tiny, *(spec_for(tmp_path / str(number), name=f"other{number}") for number in range(2))]
    painter = Painter(PainterSettings(device="cpu"))
    alive: list[weakref.ref[object]] = []
    at_loading: list[int] = []

    def watched(*arguments: object) -> object:
        gc.collect()
        at_loading.append(sum(module() is not None for module in alive))
        return load_model(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("generation.painter.held_models.load_model", watched)
    first = {}
    for model in [*models, *models]:
        wanted = recipe(tile=True, hires=Hires(width=32, height=32, strength=0.5), scheduler="euler_a", stop=0.5)
        picture = one(painter, model, dataclasses.replace(wanted, model=model.name))
        assert first.setdefault(model.name, picture.png) == picture.png
        assert painter._models.current is not None
        alive += [weakref.ref(painter._models.current.text_to_image.unet), weakref.ref(painter._models.current.vae)]
    assert at_loading == [0] * 6


def seam_steps(picture: Picture) -> tuple[float, float]:
    """How much neighbouring pixels differ across the edges, and on average inside: of both directions the mean."""
    values = pixels(picture).astype(float)
    across = [np.abs(np.take(values, 0, axis) - np.take(values, -1, axis)).mean() for axis in (0, 1)]
    inside = [np.abs(np.diff(values, axis=axis)).mean() for axis in (0, 1)]
    return statistics.fmean(across), statistics.fmean(inside)
