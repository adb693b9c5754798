"""Captions say what the scene shows, in many ways, and leave out what members leave out."""

import random

from generation.pocket.captions import KIND_WORDS, PLACE_WORDS, SKY_WORDS, STYLE_WORDS, caption
from generation.pocket.evaluation_prompts import single_subject_prompts, two_subject_prompts
from generation.pocket.scenes import COLOURS, KINDS, Scene, sample_scene


def described(count: int) -> list[tuple[Scene, str]]:
    rng = random.Random(11)
    scenes = [sample_scene(rng) for _ in range(count)]
    return [(scene, caption(scene, rng).lower()) for scene in scenes]


def test_subjects_and_colours_are_named_almost_always() -> None:
    pairs = described(600)
    for what in ("kind", "colour"):
        named = [
            any(word in text for word in (KIND_WORDS[s.kind] if what == "kind" else (s.colour,)))
            for scene, text in pairs
            for s in scene.subjects
        ]
        assert sum(named) / len(named) > 0.9, what


def test_captions_never_name_a_colour_that_is_not_there() -> None:
    for scene, text in described(600):
        if scene.style == "ink" or "green meadow" in text or "blue" in text or "orange" in text:
            continue
        present = {subject.colour for subject in scene.subjects}
        assert not [colour for colour in COLOURS if f" {colour} " in text and colour not in present]


def test_places_and_times_are_often_left_out_so_that_short_prompts_mean_something() -> None:
    single = [(scene, text) for scene, text in described(1500) if len(scene.subjects) == 1]
    without_place = [not any(word in text for word in PLACE_WORDS[scene.subjects[0].place]) for scene, text in single]
    without_time = [not any(word in text for word in SKY_WORDS[scene.sky]) for scene, text in single]
    assert 0.2 < sum(without_place) / len(single) < 0.4
    assert 0.2 < sum(without_time) / len(single) < 0.4


def test_styles_are_named() -> None:
    styled = [(scene, text) for scene, text in described(600) if scene.style != "plain"]
    named = [any(word in text for word in STYLE_WORDS[scene.style]) for scene, text in styled]
    assert sum(named) / len(named) > 0.9


def test_captions_of_one_scene_differ() -> None:
    rng = random.Random(5)
    scene = sample_scene(rng)
    assert len({caption(scene, rng) for _ in range(30)}) > 25


def test_evaluation_prompts_are_the_same_every_time_and_cover_everything() -> None:
    prompts = single_subject_prompts(224)
    assert prompts == single_subject_prompts(224)
    assert {prompt.kind for prompt in prompts} == set(KINDS)
    assert {prompt.colour for prompt in prompts} == set(COLOURS)
    assert len({prompt.seed for prompt in prompts}) == len(prompts)
    assert all(f"{prompt.colour} {prompt.kind}" in prompt.text for prompt in prompts)
    assert all(",," not in prompt.text and "  " not in prompt.text for prompt in prompts)
    assert all(prompt.left in prompt.text and prompt.right in prompt.text for prompt in two_subject_prompts(20))
