"""What sampling's options mean, on the embedded model: every sampler's red boat is red, chaos spreads, edges meet."""

from __future__ import annotations

import dataclasses
import itertools
import statistics

import numpy as np
import pytest
from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.protocol import Picture
from generation.painter.painter import Painter
from generation.pocket import measure
from generation.recipe import Hires, Recipe
from generation.samplers import SAMPLERS
from tests.painter.pocket_sdxl import BOAT, POCKET, opened
from tests.painter.tiny_sdxl import distance, paint, pixels

# Enough to see what is meant, where many pictures are painted.
STEPS = 10


def painted(artist: Painter, pocket: ModelSpec, *recipes: Recipe) -> tuple[Picture, ...]:
    return paint(artist, pocket, *recipes).pictures


@pytest.mark.parametrize("scheduler", SAMPLERS)
def test_every_sampler_paints_what_is_said(artist: Painter, pocket: ModelSpec, scheduler: str) -> None:
    """At the model's own number of steps."""
    image = opened(painted(artist, pocket, dataclasses.replace(BOAT, scheduler=scheduler))[0])
    assert (measure.subject_colour(image), measure.ground(image)) == ("red", "sea")


def test_the_later_it_stops_the_nearer_it_is(artist: Painter, pocket: ModelSpec) -> None:
    recipes = [dataclasses.replace(BOAT, seed=seed) for seed in (1, 2)]
    finished = painted(artist, pocket, *recipes)
    means = []
    for stop in (0.1, 0.3, 0.6, 0.9):
        stopped = painted(artist, pocket, *(dataclasses.replace(one, stop=stop) for one in recipes))
        means.append(statistics.fmean(map(distance, stopped, finished)))
    assert means == sorted(means, reverse=True)
    assert means[0] > 10
    assert 0 < means[-1] < 2


def test_more_chaos_makes_the_pictures_of_a_grid_differ_more(artist: Painter, pocket: ModelSpec) -> None:
    """On the mean of two grids. The share falls with chaos as orders let it fall (`bot/compose.py`)."""
    spreads = []
    for chaos in (0, 25, 50, 100):
        share = 0.6 * (1 - chaos / 100)
        grids = [
            painted(
                artist,
                pocket,
                *(
                    dataclasses.replace(
                        BOAT,
                        prompt="a house",
                        num_inference_steps=STEPS,
                        seed=first + number,
                        shared_seed=first if number else None,
                        shared_noise=share if number else 0,
                    )
                    for number in range(4)
                ),
            )
            for first in (0, 100, 200)
        ]
        pairs = [pair for grid in grids for pair in itertools.combinations(grid, 2)]
        spreads.append(statistics.fmean(itertools.starmap(distance, pairs)))
    assert spreads == sorted(spreads)
    assert spreads[-1] > 1.2 * spreads[0]


def test_weird_moves_away_and_leaves_the_subject_at_first(artist: Painter, pocket: ModelSpec) -> None:
    recipes = [dataclasses.replace(BOAT, seed=seed, num_inference_steps=STEPS) for seed in range(4)]
    plain = painted(artist, pocket, *recipes)
    means, seen = [], {}
    for weird in (0, 250, 1000, 3000):
        pictures = painted(artist, pocket, *(dataclasses.replace(one, weird=weird) for one in recipes))
        means.append(statistics.fmean(map(distance, pictures, plain)))
        seen[weird] = [measure.subject_colour(opened(picture)) for picture in pictures]
    assert means == sorted(means)
    assert means[0] == 0
    assert means[-1] > 10
    assert seen[250] == ["red"] * 4


def test_the_edges_of_a_seamless_picture_meet(artist: Painter, pocket: ModelSpec) -> None:
    """The step from the last row or column to the first is none that is not also found inside."""
    steps = {}
    for tile in (False, True):
        recipes = [
            dataclasses.replace(BOAT, prompt=prompt, seed=seed, num_inference_steps=STEPS, tile=tile)
            for prompt in ("a red boat on the sea", "a blue house on the grass")
            for seed in (0, 1)
        ]
        steps[tile] = [edge_steps(picture) for picture in painted(artist, pocket, *recipes)]
    for across, inside in steps[True]:
        assert across <= inside
    apart, together = (statistics.fmean(across for across, _ in steps[tile]) for tile in (False, True))
    assert together < apart / 5


def edge_steps(picture: Picture) -> tuple[float, float]:
    """Top to bottom: how much the last row differs from the first, and the most that neighbouring rows do."""
    values = pixels(picture).astype(float)
    rows = np.abs(np.diff(values, axis=0)).mean(axis=(1, 2))
    return float(np.abs(values[0] - values[-1]).mean()), float(rows.max())


def test_two_passes_paint_one_large_thing_where_one_pass_paints_small_ones(artist: Painter, pocket: ModelSpec) -> None:
    """At twice the size that the model knows: with two passes it is the picture of the usual size, only larger."""
    usual = [
        dataclasses.replace(BOAT, prompt=prompt, seed=seed, num_inference_steps=STEPS)
        for prompt, seed in (("a red boat on the sea", 2), ("a blue house on the grass", 0))
    ]
    large = [dataclasses.replace(one, width=256, height=256) for one in usual]
    hires = Hires(width=128, height=128, strength=0.35)
    small_ones, one_pass, two_passes = (
        [opened(picture) for picture in painted(artist, pocket, *recipes)]
        for recipes in (usual, large, [dataclasses.replace(one, hires=hires) for one in large])
    )
    for small, direct, image in zip(small_ones, one_pass, two_passes, strict=True):
        enlarged = small.resize((256, 256), Image.Resampling.LANCZOS)
        assert measure.distance(image, enlarged) < measure.distance(direct, enlarged) / 2
        assert len(things(image)) == 1
        assert len(things(direct)) > 1
        assert things(image)[0] > 1.5 * things(direct)[0]
    assert [measure.subject_colour(image) for image in two_passes] == ["red", "blue"]


def test_the_refiner_finishes_the_picture_that_the_model_began(artist: Painter, pocket: ModelSpec) -> None:
    refined = dataclasses.replace(pocket, refiner=str(POCKET / "refiner"))
    recipes = [dataclasses.replace(BOAT, seed=seed, num_inference_steps=STEPS) for seed in (1, 2)]
    plain = painted(artist, refined, *recipes)
    means = []
    for share in (0.0, 0.2, 0.4, 0.8):
        pictures = painted(artist, refined, *(dataclasses.replace(one, refine=share) for one in recipes))
        means.append(statistics.fmean(map(distance, pictures, plain)))
        assert [measure.subject_colour(opened(picture)) for picture in pictures] == ["red", "red"]
    assert means == sorted(means)
    assert means[0] == 0
    assert 0 < means[1] < 8


def things(image: Image.Image) -> list[float]:
    """The shares of the picture that things standing by themselves have, the largest first; specks do not count."""
    unseen = measure.subject_mask(image)
    shares = []
    while unseen.any():
        ahead, pixels_of_it = [tuple(np.argwhere(unseen)[0])], 0
        while ahead:
            row, column = ahead.pop()
            if 0 <= row < unseen.shape[0] and 0 <= column < unseen.shape[1] and unseen[row, column]:
                unseen[row, column] = False
                pixels_of_it += 1
                ahead += [(row + 1, column), (row - 1, column), (row, column + 1), (row, column - 1)]
        shares.append(pixels_of_it / unseen.size)
    return sorted((share for share in shares if share > 0.005), reverse=True)
