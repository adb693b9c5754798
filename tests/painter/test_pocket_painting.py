"""What pictures mean, on the embedded model: a red boat is red, and variations move away from it step by step."""

from __future__ import annotations

import dataclasses
import statistics
from io import BytesIO

import pytest
from PIL import Image

from generation.catalogue import LoraSpec, ModelSpec
from generation.engine.protocol import Picture, Progress
from generation.loras import check_lora, scan_loras
from generation.painter.painter import Painter
from generation.pocket import measure
from generation.recipe import LoraUse, Recipe, Source
from tests.painter.pocket_sdxl import BOAT, POCKET, opened
from tests.painter.tiny_sdxl import distance, paint


@pytest.fixture(scope="module")
def boat(artist: Painter, pocket: ModelSpec) -> Picture:
    return paint(artist, pocket, BOAT).pictures[0]


@pytest.fixture(scope="module")
def loras(pocket: ModelSpec) -> dict[str, LoraSpec]:
    loras, refused = scan_loras([POCKET / "loras"])
    assert not refused
    for lora in loras.values():
        check_lora(lora, pocket)
    return {name: loras[name] for name in ("neon", "blueprint")}


def test_it_paints_what_is_said(artist: Painter, pocket: ModelSpec) -> None:
    said = [
        ("a red boat on the sea", "red", "sea"),
        ("a blue house on the grass", "blue", "grass"),
        ("a yellow ball on the snow", "yellow", "snow"),
        ("a green cube on the sand", "green", "sand"),
    ]
    recipes = [dataclasses.replace(BOAT, prompt=prompt, seed=seed) for seed, (prompt, _, _) in enumerate(said)]
    images = [opened(picture) for picture in paint(artist, pocket, *recipes).pictures]
    seen = [(measure.subject_colour(image), measure.ground(image)) for image in images]
    right = sum(shown == (colour, ground) for (_, colour, ground), shown in zip(said, seen, strict=True))
    assert right >= len(said) - 1, seen


def test_the_same_picture_alone_and_among_others(artist: Painter, pocket: ModelSpec, boat: Picture) -> None:
    others = [
        dataclasses.replace(BOAT, prompt="a cat at night", seed=1, negative_prompt="snow"),
        dataclasses.replace(BOAT, prompt="", seed=2),
        dataclasses.replace(BOAT, prompt="a blue house, pixel art", seed=3),
    ]
    among = paint(artist, pocket, others[0], others[1], BOAT, others[2]).pictures[2]
    assert distance(among, boat) <= 2


def test_more_strength_is_further_from_the_source(artist: Painter, pocket: ModelSpec, boat: Picture) -> None:
    """On average over four seeds, as the four variations under a grid are."""
    means = []
    for strength in (0.0, 0.2, 0.5, 0.8, 1.0):
        source = Source(digest="", strength=strength)
        recipes = [dataclasses.replace(BOAT, seed=seed, source=source) for seed in range(4)]
        varied = paint(artist, pocket, *recipes, sources=(boat.png,) * 4).pictures
        means.append(sum(distance(picture, boat) for picture in varied) / 4)
    assert means[0] == 0
    assert means == sorted(means)


def test_upscaling_doubles_the_size_and_keeps_the_picture(artist: Painter, pocket: ModelSpec, boat: Picture) -> None:
    enlarged = opened(boat).resize((256, 256), Image.Resampling.LANCZOS)
    distances = []
    for strength in (0.2, 0.5):
        upscaled = dataclasses.replace(BOAT, width=256, height=256, seed=5, source=Source(digest="", strength=strength))
        picture = paint(artist, pocket, upscaled, sources=(boat.png,)).pictures[0]
        assert (picture.width, picture.height) == (256, 256)
        image = opened(picture)
        distances.append(measure.distance(image, enlarged))
        assert (measure.subject_colour(image), measure.ground(image)) == ("red", "sea")
        assert measure.subject_place(image) == measure.subject_place(opened(boat))
    subtle, creative = distances
    assert 0 < subtle < creative < 20


def test_previews_become_the_picture(artist: Painter, pocket: ModelSpec) -> None:
    seen: list[Progress] = []
    picture = opened(paint(artist, pocket, BOAT, on_progress=seen.append).pictures[0])
    previews = [Image.open(BytesIO(progress.previews[0])) for progress in seen]
    assert all(preview.size == picture.size for preview in previews)
    far, near = (measure.distance(previews[step], picture) for step in (0, -1))
    assert near < 20
    assert near < far


class TestLoras:
    @pytest.mark.parametrize("name", ["neon", "blueprint"])
    def test_more_weight_is_further_from_the_base(
        self, artist: Painter, pocket: ModelSpec, loras: dict[str, LoraSpec], name: str
    ) -> None:
        """By the mean of four pictures whose sky is named: a LoRA that draws at night may turn an unnamed one dark."""
        lora = loras[name]
        bases = paint(artist, pocket, *(seeded(worded(lora), seed) for seed in range(4))).pictures
        distances = []
        for weight in (0.0, 0.35, 0.7, 1.0):
            recipes = [seeded(worded(lora, weight), seed) for seed in range(4)]
            pictures = paint(artist, pocket, *recipes, loras=(lora,)).pictures
            distances.append(statistics.fmean(map(distance, pictures, bases)))
        assert distances[0] == 0
        assert distances == sorted(distances)
        assert distances[-1] > 10
        again = paint(artist, pocket, *(seeded(worded(lora), seed) for seed in range(4))).pictures
        assert [picture.png for picture in again] == [picture.png for picture in bases]

    def test_both_at_once_are_neither(self, artist: Painter, pocket: ModelSpec, loras: dict[str, LoraSpec]) -> None:
        both = tuple(LoraUse(name=name, weight=0.6) for name in loras)
        specs = tuple(loras.values())
        mixed = paint(artist, pocket, dataclasses.replace(BOAT, loras=both), loras=specs).pictures[0]
        for use in both:
            alone = paint(artist, pocket, dataclasses.replace(BOAT, loras=(use,)), loras=specs).pictures[0]
            assert distance(mixed, alone) > 2


def worded(lora: LoraSpec, weight: float | None = None) -> Recipe:
    """The boat with the LoRA's trigger word before it, as orders put it there."""
    uses = () if weight is None else (LoraUse(name=lora.name, weight=weight),)
    return dataclasses.replace(BOAT, prompt=f"{lora.trigger}, {BOAT.prompt}, by day", loras=uses)


def seeded(recipe: Recipe, seed: int) -> Recipe:
    return dataclasses.replace(recipe, seed=seed)
