"""The measurement that judges the model is itself right on pictures whose contents are known."""

import random

import numpy as np
import pytest

from generation.pocket import measure
from generation.pocket.drawing import render
from generation.pocket.rendering_styles import apply_style
from generation.pocket.scenes import BUCKETS, Scene, Style, sample_scene

SIZES = [(128, 128), (152, 104), (104, 152), (168, 96)]


def plain_scenes(count: int) -> list[Scene]:
    rng = random.Random(20_000)
    return [sample_scene(rng, *SIZES[index % len(SIZES)], style="plain", plain_framing=True) for index in range(count)]


def test_measurement_agrees_with_what_was_rendered() -> None:
    rendered = [(scene, render(scene)) for scene in plain_scenes(300)]
    single = [(scene.subjects[0], image) for scene, image in rendered if len(scene.subjects) == 1]
    double = [(scene, image) for scene, image in rendered if len(scene.subjects) == 2]

    assert np.mean([measure.ground(image) == scene.ground for scene, image in rendered]) >= 0.99
    assert np.mean([measure.sky(image) == scene.sky for scene, image in rendered]) >= 0.99
    assert np.mean([measure.subject_place(image) == subject.place for subject, image in single]) >= 0.98
    assert np.mean([measure.subject_colour(image) == subject.colour for subject, image in single]) >= 0.98
    both = [
        all(measure.subject_colour(image, subject.place) == subject.colour for subject in scene.subjects)
        for scene, image in double
    ]
    assert np.mean(both) >= 0.9


def test_a_scene_always_gives_the_same_picture() -> None:
    scene = plain_scenes(1)[0]
    assert measure.distance(render(scene), render(scene)) == 0


@pytest.mark.parametrize("bucket", BUCKETS)
def test_pictures_have_the_size_of_their_bucket_and_fit_the_latent_grid(bucket: tuple[int, int]) -> None:
    rng = random.Random(1)
    assert bucket[0] % 8 == bucket[1] % 8 == 0
    for _ in range(8):
        assert render(sample_scene(rng, *bucket)).size == bucket


def test_cropped_and_shrunk_scenes_say_so_in_their_micro_conditioning() -> None:
    rng = random.Random(2)
    scenes = [sample_scene(rng) for _ in range(600)]
    cropped = [scene for scene in scenes if scene.original_size > (128, 128)]
    shrunk = [scene for scene in scenes if scene.original_size < (128, 128)]
    assert cropped
    assert shrunk
    assert any(scene.crop != (0, 0) for scene in cropped)
    assert all(scene.crop == (0, 0) for scene in scenes if scene not in cropped)


def test_one_scene_in_six_has_two_subjects_of_different_colours_and_places() -> None:
    rng = random.Random(3)
    scenes = [sample_scene(rng) for _ in range(1200)]
    double = [scene.subjects for scene in scenes if len(scene.subjects) == 2]
    assert 0.12 < len(double) / len(scenes) < 0.21
    assert all(first.colour != second.colour and first.place != second.place for first, second in double)


@pytest.mark.parametrize(("style", "grey"), [("plain", False), ("ink", True), ("pastel", False), ("pixel", False)])
def test_only_ink_is_black_and_white(style: Style, grey: bool) -> None:
    day = [render(scene) for scene in plain_scenes(60) if scene.sky != "night"]
    assert np.mean([measure.is_near_grey(apply_style(image, style)) == grey for image in day]) >= 0.9


@pytest.mark.parametrize("style", ["ink", "pixel", "pastel", "neon", "blueprint"])
def test_a_style_changes_the_picture_and_keeps_its_size(style: Style) -> None:
    image = render(plain_scenes(1)[0])
    styled = apply_style(image, style)
    assert styled.size == image.size
    assert styled.mode == "RGB"
    assert measure.distance(image, styled) > 8
