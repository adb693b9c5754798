"""What a person gets from the painter: the same picture for the same recipe, whoever else is in the batch."""

from __future__ import annotations

import dataclasses
from io import BytesIO

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Picture, Task
from generation.errors import OutOfMemory, PaintingFailed
from generation.painter.painter import Painter, pictures_at_once
from generation.painter.schedulers import SCHEDULERS
from generation.picture import read_recipe
from generation.recipe import Recipe, Source
from tests.painter.tiny_sdxl import NATIVE_SIZE, distance, paint, pixels, recipe

# Batched kernels add in another order than those for one picture; nothing else may differ.
ROUNDING = 0.2


def one(painter: Painter, model: ModelSpec, wanted: Recipe, source: bytes | None = None) -> Picture:
    return paint(painter, model, wanted, sources=(source,) if source else ()).pictures[0]


def png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def stripes(width: int = NATIVE_SIZE, height: int = NATIVE_SIZE) -> bytes:
    image = Image.new("RGB", (width, height), "navy")
    image.paste("orange", (0, height // 3, width, 2 * height // 3))
    return png(image)


class TestSeeds:
    def test_a_seed_repeats_its_picture_to_the_bit(self, painter: Painter, tiny: ModelSpec) -> None:
        assert one(painter, tiny, recipe()).png == one(painter, tiny, recipe()).png

    def test_another_seed_is_another_picture(self, painter: Painter, tiny: ModelSpec) -> None:
        assert distance(one(painter, tiny, recipe()), one(painter, tiny, recipe(seed=8))) > 10

    def test_the_picture_is_the_one_that_plain_diffusers_paints(self, painter: Painter, tiny: ModelSpec) -> None:
        plain = StableDiffusionXLPipeline.from_pretrained(tiny.source, add_watermarker=False)
        plain.set_progress_bar_config(disable=True)
        expected = plain(
            "a boat",
            negative_prompt="fog",
            width=96,
            height=64,
            num_inference_steps=4,
            guidance_scale=5.0,
            generator=torch.Generator().manual_seed(7),
        ).images[0]
        picture = one(painter, tiny, recipe(negative_prompt="fog", width=96))
        assert np.abs(pixels(picture) - np.asarray(expected, dtype=np.int64)).max() <= 1

    @pytest.mark.parametrize("scheduler", [None, *SCHEDULERS])
    def test_every_scheduler_paints_from_words_and_from_a_picture(
        self, painter: Painter, tiny: ModelSpec, scheduler: str | None
    ) -> None:
        wanted = recipe(scheduler=scheduler)
        from_words = one(painter, tiny, wanted)
        assert pixels(from_words).std() > 5
        from_picture = dataclasses.replace(wanted, source=Source(digest="", strength=0.5))
        assert distance(from_words, one(painter, tiny, from_picture, stripes())) > 5
        assert one(painter, tiny, wanted).png == from_words.png

    def test_an_unknown_scheduler_is_told(self, painter: Painter, tiny: ModelSpec) -> None:
        with pytest.raises(PaintingFailed, match="unheard_of"):
            one(painter, tiny, recipe(scheduler="unheard_of"))


class TestNeighbours:
    def test_alone_and_in_a_batch_of_four_it_is_the_same_picture(self, painter: Painter, tiny: ModelSpec) -> None:
        recipes = [
            recipe("a boat", seed=1),
            recipe("a house by night", seed=2, negative_prompt="fog, rain"),
            recipe("", seed=3),
            recipe("a cat", seed=4, negative_prompt="dog"),
        ]
        together = paint(painter, tiny, *recipes).pictures
        for wanted, picture in zip(recipes, together, strict=True):
            assert distance(one(painter, tiny, wanted), picture) <= ROUNDING

    def test_a_neighbours_negative_prompt_is_its_own(self, painter: Painter, tiny: ModelSpec) -> None:
        mine, negative = recipe(), recipe(seed=9, negative_prompt="fog")
        alone = one(painter, tiny, mine)
        assert distance(alone, paint(painter, tiny, negative, mine).pictures[1]) <= ROUNDING
        assert distance(alone, one(painter, tiny, dataclasses.replace(mine, negative_prompt="fog"))) > ROUNDING

    def test_pictures_from_pictures_do_not_mix_either(self, painter: Painter, tiny: ModelSpec) -> None:
        source = Source(digest="", strength=0.6)
        recipes = [recipe(seed=1, source=source), recipe("a cat", seed=2, source=source)]
        sources = (stripes(), png(Image.new("RGB", (NATIVE_SIZE, NATIVE_SIZE), "green")))
        together = paint(painter, tiny, *recipes, sources=sources).pictures
        for wanted, given, picture in zip(recipes, sources, together, strict=True):
            assert distance(one(painter, tiny, wanted, given), picture) <= ROUNDING

    @pytest.mark.parametrize("scheduler", ["euler_a"])
    def test_schedulers_that_draw_noise_on_the_way_draw_it_for_each_picture(
        self, painter: Painter, tiny: ModelSpec, scheduler: str
    ) -> None:
        recipes = [recipe(seed=seed, scheduler=scheduler) for seed in (1, 2, 3)]
        together = paint(painter, tiny, *recipes).pictures
        assert distance(one(painter, tiny, recipes[2]), together[2]) <= ROUNDING


class TestSources:
    def test_strength_below_one_step_gives_the_source_back(self, painter: Painter, tiny: ModelSpec) -> None:
        wanted = recipe(source=Source(digest="", strength=0.2))
        assert wanted.steps_to_run == 0
        picture = one(painter, tiny, wanted, stripes())
        assert (pixels(picture) == np.asarray(Image.open(BytesIO(stripes())), dtype=np.int64)).all()
        assert read_recipe(picture.png) == wanted

    def test_it_is_brought_to_the_recipes_size(self, painter: Painter, tiny: ModelSpec) -> None:
        for strength in (0.1, 0.5):
            wanted = recipe(width=128, height=96, source=Source(digest="", strength=strength))
            picture = one(painter, tiny, wanted, stripes(50, 40))
            assert (picture.width, picture.height) == (128, 96)
            assert pixels(picture).shape == (96, 128, 3)

    def test_any_colour_mode_and_format_will_do(self, painter: Painter, tiny: ModelSpec) -> None:
        wanted = recipe(source=Source(digest="", strength=0.5))
        for mode in ("RGBA", "L", "P"):
            assert pixels(one(painter, tiny, wanted, png(Image.new(mode, (64, 64))))).shape == (64, 64, 3)

    @pytest.mark.parametrize("source", [None, b"", b"\x89PNG\r\n\x1a\n", b"GIF89a"])
    def test_a_source_that_is_missing_or_unreadable_is_told(
        self, painter: Painter, tiny: ModelSpec, source: bytes | None
    ) -> None:
        task = Task(job_id=1, recipe=recipe(source=Source(digest="", strength=0.5)), source=source)
        with pytest.raises(PaintingFailed, match="source picture"):
            painter.paint(Batch(tasks=(task,), model=tiny), on_progress=lambda _: None, cancelled=lambda: False)


class TestBatches:
    def test_large_pictures_share_a_pass_with_fewer(self, tiny: ModelSpec) -> None:
        assert pictures_at_once(tiny, recipe()) == tiny.max_batch == 4
        assert pictures_at_once(tiny, recipe(width=128)) == 2
        assert pictures_at_once(tiny, recipe(width=128, height=128)) == 1
        assert pictures_at_once(tiny, recipe(width=512, height=512)) == 1

    def test_more_tasks_than_fit_are_painted_in_passes(self, painter: Painter, tiny: ModelSpec) -> None:
        recipes = [recipe(seed=seed) for seed in range(6)]
        pictures = paint(painter, tiny, *recipes).pictures
        assert [read_recipe(picture.png) for picture in pictures] == recipes
        assert distance(one(painter, tiny, recipes[5]), pictures[5]) <= ROUNDING

    def test_out_of_memory_halves_the_pass_until_it_fits(self, painter: Painter, tiny: ModelSpec) -> None:
        recipes = [recipe(seed=seed) for seed in range(4)]
        expected = paint(painter, tiny, *recipes).pictures
        with memory_for(painter, pictures=1) as passes:
            pictures = paint(painter, tiny, *recipes).pictures
        assert passes[:3] == [4, 2, 1]
        assert all(distance(a, b) <= ROUNDING for a, b in zip(expected, pictures, strict=True))

    def test_not_even_one_fits(self, painter: Painter, tiny: ModelSpec) -> None:
        with memory_for(painter, pictures=0), pytest.raises(OutOfMemory, match="pretended"):
            paint(painter, tiny, recipe(), recipe(seed=1))
        assert one(painter, tiny, recipe()).width == NATIVE_SIZE

    def test_recipes_that_cannot_share_a_pass_are_refused(self, painter: Painter, tiny: ModelSpec) -> None:
        with pytest.raises(PaintingFailed, match="batch key"):
            paint(painter, tiny, recipe(), recipe(num_inference_steps=5))

    def test_pictures_carry_their_recipe(self, painter: Painter, tiny: ModelSpec) -> None:
        picture = one(painter, tiny, recipe("ein Boot — 船", negative_prompt="fog"))
        assert read_recipe(picture.png) == recipe("ein Boot — 船", negative_prompt="fog")
        with Image.open(BytesIO(picture.png)) as image:
            assert "Sampler: Euler," in image.info["parameters"]


class memory_for:  # noqa: N801 - reads as a function in `with`
    """The UNet runs out of memory for more pictures at once than these; yields the sizes that were tried."""

    def __init__(self, painter: Painter, *, pictures: int) -> None:
        assert painter._models.current is not None
        self._unet = painter._models.current.text_to_image.unet
        self._pictures = pictures

    def __enter__(self) -> list[int]:
        passes: list[int] = []

        def allocate(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            passes.append(len(inputs[0]) // 2)  # each picture with and without its prompt
            if passes[-1] > self._pictures:
                raise torch.OutOfMemoryError("pretended")

        self._hook = self._unet.register_forward_pre_hook(allocate)
        return passes

    def __exit__(self, *_: object) -> None:
        self._hook.remove()
