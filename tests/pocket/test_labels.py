"""The labels of rendered scenes: which part each pixel shows."""

import random

import numpy as np
import pytest

from generation.pocket.drawing import FIRST_SUBJECT, GROUND, LUMINARY, SKY, render, render_labels
from generation.pocket.named_parts import sample_named_part, subject_part
from generation.pocket.scenes import Subject, sample_scene

RED_BOAT = (Subject(kind="boat", colour="red", place="centre"),)


def test_labels_say_what_each_pixel_shows() -> None:
    scene = sample_scene(random.Random(3), subjects=RED_BOAT, style="plain", plain_framing=True)
    labels, pixels = render_labels(scene), np.asarray(render(scene)).astype(int)
    assert labels.shape == (scene.height, scene.width)
    reddish = (pixels[..., 0] > 180) & (pixels[..., 1] < 70) & (pixels[..., 2] < 70)
    assert reddish.sum() > 200
    assert (labels[reddish] == FIRST_SUBJECT).mean() > 0.95
    assert (labels[:8] == FIRST_SUBJECT).sum() == 0
    assert (labels[0] == SKY).any()


def test_labels_of_a_cropped_scene_are_refused() -> None:
    rng = random.Random(1)
    cropped = next(scene for scene in (sample_scene(rng) for _ in range(200)) if scene.crop != (0, 0))
    with pytest.raises(ValueError, match="cropped"):
        render_labels(cropped)


def test_the_ground_is_below_the_sky_and_a_sun_is_labelled_where_there_is_one() -> None:
    rng = random.Random(5)
    for _ in range(20):
        scene = sample_scene(rng, plain_framing=True)
        labels = render_labels(scene)
        assert (labels[-1] == GROUND).mean() > 0.5
        assert not (labels[: scene.height // 3] == GROUND).any()
        if scene.luminary == "none":
            assert not (labels == LUMINARY).any()


def test_names_mean_what_is_there_and_nothing_where_it_is_not() -> None:
    scene = sample_scene(random.Random(3), subjects=RED_BOAT, plain_framing=True)
    assert subject_part(scene, "boat", None, "the boat").labels == (FIRST_SUBJECT,)
    assert subject_part(scene, "boat", "red", "red boat").labels == (FIRST_SUBJECT,)
    assert subject_part(scene, "boat", "blue", "blue boat").labels == ()
    assert subject_part(scene, "cat", "red", "red cat").labels == ()
    rng = random.Random(1)
    named = [sample_named_part(scene, rng) for _ in range(400)]
    subjects = [part for part in named if "boat" in part.name and "blue" not in part.name]
    assert {part.labels for part in subjects} <= {(FIRST_SUBJECT,), ()}
    assert 0.3 < sum(not part.labels for part in named) / len(named) < 0.6
