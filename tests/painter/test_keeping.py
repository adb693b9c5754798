"""What is kept while the rest is painted: masks and their borders, and latents from step to step."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from generation.masks import is_empty, open_mask
from generation.painter.feathering import feathered, grown
from generation.painter.keeping import keep, latent_freedom
from generation.painter.schedulers import SCHEDULERS, Estimate, make_scheduler
from generation.painter.surroundings import repaint_around, surrounded
from generation.recipe import Frame
from generation.samplers import SAMPLERS
from tests.painter.tiny_sdxl import build_pipeline

STEPS = 6
# What follows the noise that it starts from; the others draw more on the way.
DETERMINISTIC = [name for name in SCHEDULERS if not SAMPLERS[name].stochastic]


def mask_of(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (60, 40)) -> Image.Image:
    mask = Image.new("L", size)
    for box in boxes:
        mask.paste(255, box)
    return mask


def file_of(image: Image.Image, form: str = "PNG") -> bytes:
    file = BytesIO()
    image.save(file, form)
    return file.getvalue()


boxes = st.tuples(st.integers(0, 59), st.integers(0, 39), st.integers(1, 60), st.integers(1, 40)).map(
    lambda box: (min(box[0], box[2] - 1), min(box[1], box[3] - 1), max(box[0] + 1, box[2]), max(box[1] + 1, box[3]))
)


class TestBorders:
    @given(st.lists(boxes, min_size=1, max_size=4), st.integers(0, 20))
    def test_a_feather_lies_within_its_mask_and_leaves_most_of_it(
        self, parts: list[tuple[int, int, int, int]], width: int
    ) -> None:
        mask = np.asarray(mask_of(*parts))
        faded = np.asarray(feathered(mask_of(*parts), width))
        assert (faded[mask == 0] == 0).all()
        assert faded.sum() >= 0.4 * mask.sum()

    def test_it_rises_evenly_over_its_width_and_not_at_the_pictures_edge(self) -> None:
        row = np.asarray(feathered(mask_of((20, 0, 60, 40)), 8))[20].astype(int)
        assert (row[:20] == 0).all()
        assert (row[28:] == 255).all()
        steps = np.diff(row[19:30])
        assert (steps >= 0).all()
        assert steps.max() <= 255 / 8 + 1

    def test_a_thin_mask_has_a_thin_border(self) -> None:
        faded = np.asarray(feathered(mask_of((30, 0, 36, 40)), 16))
        assert (faded[:, 32:34] == 255).all()

    @given(st.lists(boxes, min_size=1, max_size=3), st.integers(0, 8))
    def test_growing_adds_just_what_is_near(self, parts: list[tuple[int, int, int, int]], radius: int) -> None:
        wider = [(max(0, a - radius), max(0, b - radius), c + radius, d + radius) for a, b, c, d in parts]
        assert (np.asarray(grown(mask_of(*parts), radius)) == np.asarray(mask_of(*wider))).all()


class TestMaskFiles:
    def test_white_and_clear_are_painted_black_is_kept_and_greys_are_what_they_are_nearer_to(self) -> None:
        image = Image.new("RGBA", (4, 1))
        for x, colour in enumerate([(255, 255, 255, 255), (0, 0, 0, 255), (0, 0, 0, 0), (100, 100, 100, 255)]):
            image.putpixel((x, 0), colour)
        assert list(np.asarray(open_mask(file_of(image), (4, 1)))[0]) == [255, 0, 255, 0]

    def test_it_takes_the_pictures_size_in_two_values(self) -> None:
        mask = open_mask(file_of(mask_of((15, 0, 60, 40)), "JPEG"), (128, 96))
        assert mask.size == (128, 96)
        assert set(np.unique(np.asarray(mask))) == {0, 255}
        assert mask.getbbox() == (32, 0, 128, 96)

    def test_what_is_no_picture_is_refused(self) -> None:
        for data in (b"", b"junk", file_of(mask_of((0, 0, 9, 9)))[:60]):
            with pytest.raises(OSError, match=r"identify|truncated"):
                open_mask(data, (60, 40))

    def test_an_empty_one_is_told_from_one_of_a_pixel(self) -> None:
        assert is_empty(mask_of())
        assert not is_empty(mask_of((5, 5, 6, 6)))


class TestSurroundings:
    FRAME, SIZE = Frame(x=32, y=16, width=48, height=64), (128, 96)

    def test_the_picture_stands_untouched_in_its_frame(self) -> None:
        picture = Image.effect_noise((48, 64), 90).convert("RGB")
        canvas = surrounded(picture, self.FRAME, self.SIZE, 128)
        assert canvas.size == self.SIZE
        assert (np.asarray(canvas.crop((32, 16, 80, 80))) == np.asarray(picture)).all()

    def test_its_edges_go_on_around_it(self) -> None:
        picture = Image.new("RGB", (48, 64), "skyblue")
        picture.paste("green", (0, 40, 48, 64))
        canvas = surrounded(picture, self.FRAME, self.SIZE, 128)
        pixels = np.asarray(canvas).astype(int)
        for x in (28, 84, 95):
            assert abs(pixels[30, x] - pixels[30, 40]).max() < 20
            assert abs(pixels[75, x] - pixels[75, 40]).max() < 20
        assert abs(pixels[30, 40] - pixels[75, 40]).max() > 100

    def test_it_is_freer_further_away(self) -> None:
        repaint = np.asarray(repaint_around(self.FRAME, self.SIZE, 128)).astype(int)
        assert (repaint[16:80, 32:80] == 0).all()
        assert (np.diff(repaint[48, 80:]) >= 0).all()
        assert 0 < repaint[48, 80] < repaint[48, 127] == 255


def test_a_latent_is_as_free_as_its_freest_pixel() -> None:
    latents = torch.zeros(2, 4, 5, 8)
    freedom = latent_freedom([mask_of((7, 0, 9, 40), size=(64, 40)), mask_of(size=(64, 40))], latents)
    assert freedom.shape == (2, 1, 5, 8)
    assert freedom[0, 0, 0].tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert not freedom[1].any()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
class TestSteps:
    """A model that knows just which noise was added goes the way on which kept latents must be."""

    @pytest.mark.parametrize("name", DETERMINISTIC)
    @pytest.mark.parametrize("strength", [1.0, 0.5])
    def test_kept_latents_have_as_much_noise_as_the_others(self, name: str, strength: float) -> None:
        latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
        way = walk(name, strength, latents, noise, torch.zeros(1, 1, 8, 8), predicted=noise)
        for restored, painted in way[:-1]:
            assert (restored - painted).abs().max() < 0.01 * painted.abs().max()
        restored, painted = way[-1]
        # DDIM as SDXL uses it leaves the noise of its last timestep.
        assert (restored - painted).abs().max() < (0.1 if name == "ddim" else 0.01)

    @pytest.mark.parametrize("name", SCHEDULERS)
    def test_at_the_end_what_is_kept_is_the_source(self, name: str) -> None:
        latents, noise = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(2))
        freedom = torch.zeros(1, 1, 8, 8)
        freedom[..., 4:] = 1
        *_, (restored, painted) = walk(name, 1.0, latents, noise, freedom, predicted=torch.zeros_like(noise))
        assert torch.allclose(restored[..., :4], latents[..., :4], atol=1e-3)
        assert torch.equal(restored[..., 4:], painted[..., 4:])

    def test_half_free_latents_are_painted_in_the_later_half_of_the_steps(self) -> None:
        latents, noise = torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8)
        freedom = torch.full((1, 1, 8, 8), 0.5)
        way = walk("euler", 1.0, latents, noise, freedom, predicted=torch.zeros_like(noise))
        kept = [not torch.equal(restored, painted) for restored, painted in way]
        assert kept == [True, True, False, False, False, False]


def walk(
    name: str, strength: float, latents: Tensor, noise: Tensor, freedom: Tensor, *, predicted: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """After each whole step of a sampler: the latents as `keep` leaves them, and as the step left them.

    `predicted` is the noise that the model sees in all of them.
    """
    pipeline = build_pipeline()
    scheduler = make_scheduler(pipeline.scheduler, name, STEPS, predicts="epsilon")
    pipeline.scheduler = scheduler
    estimate = Estimate(scheduler)
    callback = keep(latents, noise, freedom, estimate)
    scheduler.set_timesteps(STEPS)
    first = (STEPS - int(STEPS * strength)) * scheduler.order
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(first)
    timesteps = scheduler.timesteps[first:]
    pipeline._num_timesteps = len(timesteps)
    now = scheduler.add_noise(latents, noise, timesteps[:1])
    seen = []
    for index, timestep in enumerate(timesteps):
        scheduler.scale_model_input(now, timestep)  # some count their steps in it
        painted = scheduler.step(predicted, timestep, now, return_dict=False)[0]
        now = callback(pipeline, index, timestep, {"latents": painted})["latents"]
        if (index + 1) % scheduler.order == 0 or index + 1 == len(timesteps):
            seen.append((now, painted))
    return seen
