"""What a person sees while it is painted, and how fast it stops."""

from __future__ import annotations

from io import BytesIO

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.protocol import Progress
from generation.engine.settings import PainterSettings
from generation.errors import PaintingCancelled
from generation.painter.painter import Painter
from generation.painter.previews import SDXL_BIAS, Previewer
from generation.painter.schedulers import SCHEDULERS, Estimate, make_scheduler
from generation.recipe import Source
from tests.painter.tiny_sdxl import NATIVE_SIZE, paint, recipe


def test_every_step_is_told(painter: Painter, tiny: ModelSpec) -> None:
    seen: list[Progress] = []
    paint(painter, tiny, recipe(), recipe(seed=8), on_progress=seen.append)
    assert [(progress.step, progress.steps) for progress in seen] == [(step, 4) for step in (1, 2, 3, 4)]


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_steps_from_a_picture_are_those_that_really_run(painter: Painter, tiny: ModelSpec, scheduler: str) -> None:
    seen: list[Progress] = []
    wanted = recipe(num_inference_steps=10, source=Source(digest="", strength=0.35), scheduler=scheduler)
    source = paint(painter, tiny, recipe()).pictures[0].png
    paint(painter, tiny, wanted, sources=(source,), on_progress=seen.append)
    assert seen[-1].step == 3
    assert {progress.steps for progress in seen} == {3}
    told = [progress.step for progress in seen]
    # The second-order ones evaluate the model twice a step, but for the last.
    assert told == ([0, 1, 1, 2, 3] if scheduler in ("heun", "dpm2", "dpm2_a") else [1, 2, 3])


def test_several_passes_count_as_one_way(painter: Painter, tiny: ModelSpec) -> None:
    seen: list[Progress] = []
    paint(painter, tiny, *(recipe(seed=seed) for seed in range(6)), on_progress=seen.append)
    assert [(progress.step, progress.steps) for progress in seen] == [(step, 8) for step in range(1, 9)]


def test_a_preview_for_each_task_small_and_of_the_right_shape(painter: Painter, tiny: ModelSpec) -> None:
    seen: list[Progress] = []
    recipes = [recipe(seed=seed, width=96, height=64) for seed in range(3)]
    paint(painter, tiny, *recipes, on_progress=seen.append)
    for progress in seen:
        assert len(progress.previews) == 3
        for preview in progress.previews:
            with Image.open(BytesIO(preview)) as image:
                assert (image.format, image.size) == ("JPEG", (96, 64))


def test_large_pictures_have_small_previews() -> None:
    (image,) = Previewer.for_model({}).images(torch.zeros(1, 4, 128, 192))
    assert image.size == (256, 171)
    assert image.getpixel((0, 0)) == tuple(SDXL_BIAS)


def test_a_model_brings_its_own_map() -> None:
    red_from_the_first = {"matrix": [[1, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]], "bias": [0, 0, 0.2]}
    (image,) = Previewer.for_model({"latents_to_rgb": red_from_the_first}).images(torch.ones(1, 4, 8, 8))
    assert image.getpixel((3, 3)) == (255, 0, 51)


@pytest.mark.parametrize("broken", [3, {"matrix": [[1]]}, {"matrix": [[1, 2, 3]], "bias": [0, 0, 0]}])
def test_a_broken_map_is_told(broken: object) -> None:
    with pytest.raises(ValueError, match="latents_to_rgb"):
        Previewer.for_model({"latents_to_rgb": broken})


def test_previews_come_as_often_as_asked(tiny: ModelSpec) -> None:
    for every, expected in ((2, [0, 1, 0, 1]), (0, [0, 0, 0, 0])):
        seen: list[Progress] = []
        paint(Painter(PainterSettings(device="cpu", preview_every=every)), tiny, recipe(), on_progress=seen.append)
        assert [len(progress.previews) for progress in seen] == expected


@pytest.mark.parametrize("name", SCHEDULERS)
def test_previews_show_where_it_is_going_not_the_noise(name: str) -> None:
    """With a model that knows the finished latents, every scheduler's estimate is them from the first step on."""
    finished = torch.linspace(-2, 2, 256).view(1, 4, 8, 8)
    own = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="leading",
        steps_offset=1,
    )
    log_sigmas = ((1 - own.alphas_cumprod) / own.alphas_cumprod).sqrt().log()
    scheduler = make_scheduler(own, name, 6)
    estimate = Estimate(scheduler)
    scheduler.set_timesteps(6)
    latents = torch.randn(finished.shape, generator=torch.Generator().manual_seed(0)) * scheduler.init_noise_sigma
    for timestep in scheduler.timesteps:
        low, share = int(timestep), float(timestep) % 1  # some evaluate the model between two timesteps
        log_sigma = torch.lerp(log_sigmas[low], log_sigmas[min(low + 1, 999)], share)
        kept = 1 / (1 + (2 * log_sigma).exp())
        noise = (scheduler.scale_model_input(latents, timestep) - kept.sqrt() * finished) / (1 - kept).sqrt()
        velocity = kept.sqrt() * noise - (1 - kept).sqrt() * finished
        latents = scheduler.step(velocity, timestep, latents, return_dict=False)[0]
        assert estimate.latents is not None
        torch.testing.assert_close(estimate.latents, finished, rtol=0, atol=0.01)


@pytest.mark.parametrize("stop_after", [0, 1, 3])
def test_it_stops_within_one_step(painter: Painter, tiny: ModelSpec, stop_after: int) -> None:
    assert painter._models.current is not None
    forward_passes = 0

    def count(*_: object) -> None:
        nonlocal forward_passes
        forward_passes += 1

    hook = painter._models.current.text_to_image.unet.register_forward_hook(count)
    try:
        with pytest.raises(PaintingCancelled):
            paint(
                painter,
                tiny,
                recipe(num_inference_steps=20),
                cancelled=lambda: forward_passes >= stop_after,
            )
    finally:
        hook.remove()
    assert forward_passes == stop_after


def test_it_stops_between_passes_and_before_decoding(painter: Painter, tiny: ModelSpec) -> None:
    seen: list[Progress] = []
    asked = 0

    def cancelled() -> bool:
        nonlocal asked
        asked += 1
        return len(seen) == 4 and asked > 5  # after the callback of the last step

    with pytest.raises(PaintingCancelled):
        paint(painter, tiny, recipe(), on_progress=seen.append, cancelled=cancelled)


def test_a_cancelled_batch_leaves_nothing_behind(painter: Painter, tiny: ModelSpec) -> None:
    before = paint(painter, tiny, recipe()).pictures[0].png
    with pytest.raises(PaintingCancelled):
        paint(painter, tiny, recipe(seed=1, width=2 * NATIVE_SIZE), cancelled=lambda: True)
    assert paint(painter, tiny, recipe()).pictures[0].png == before
