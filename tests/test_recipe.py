"""The recipe: exact through JSON, and a batch key that only lets pictures share a pass that may."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from generation.errors import InvalidRecipe
from generation.recipe import MAX_SEED, PER_PICTURE_FIELDS, Frame, Hires, LoraUse, Mask, Recipe, Source
from tests.recipe_strategies import recipes

PLAIN = Recipe(
    prompt="a boat", model="pocket", width=128, height=128, seed=7, num_inference_steps=20, guidance_scale=4.5
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


class TestJson:
    @given(recipes)
    def test_a_recipe_comes_back_as_it_was(self, recipe: Recipe) -> None:
        assert Recipe.from_json(recipe.to_json()) == recipe
        assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe

    @given(recipes)
    def test_the_canonical_form_is_canonical(self, recipe: Recipe) -> None:
        text = recipe.to_json()
        assert Recipe.from_json(text).to_json() == text
        assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    @given(recipes, recipes)
    def test_different_recipes_have_different_texts(self, one: Recipe, other: Recipe) -> None:
        assume(one != other)
        assert one.to_json() != other.to_json()

    def test_equal_recipes_have_equal_texts(self) -> None:
        one = dataclasses.replace(PLAIN, guidance_scale=5, loras=(LoraUse(name="neon", weight=-0.0),))
        other = dataclasses.replace(PLAIN, guidance_scale=5.0, loras=(LoraUse(name="neon", weight=0),))
        assert one == other
        assert one.to_json() == other.to_json()

    def test_what_was_never_said_is_not_written(self) -> None:
        assert set(PLAIN.to_dict()) == {
            *("version", "prompt", "model", "width", "height", "seed", "num_inference_steps", "guidance_scale")
        }

    @pytest.mark.parametrize(
        "change",
        [
            {"version": 2},
            {"version": None},
            {"unheard_of": 1},
            {"prompt": 3},
            {"prompt": None},
            {"prompt": "half a pair: \ud83d"},
            {"model": ["pocket"]},
            {"negative_prompt": {}},
            {"scheduler": 5},
            {"width": 100},
            {"width": 128.0},
            {"width": "128"},
            {"height": 0},
            {"height": 9000},
            {"seed": -1},
            {"seed": MAX_SEED + 1},
            {"seed": 1.5},
            {"seed": True},
            {"num_inference_steps": 0},
            {"num_inference_steps": 2.5},
            {"guidance_scale": 0.5},
            {"guidance_scale": math.nan},
            {"guidance_scale": "5"},
            {"loras": 5},
            {"loras": [5]},
            {"loras": [{}]},
            {"loras": [{"name": 5}]},
            {"loras": [{"name": "neon", "weight": 3}]},
            {"loras": [{"name": "neon", "weight": None}]},
            {"loras": [{"name": "neon"}] * 5},
            {"source": 5},
            {"source": {"digest": "ab"}},
            {"source": {"digest": 5, "strength": 0.5}},
            {"source": {"digest": "ab", "strength": 2}},
        ],
    )
    def test_what_is_not_a_recipe_is_refused(self, change: dict[str, Any]) -> None:
        with pytest.raises(InvalidRecipe):
            Recipe.from_dict(PLAIN.to_dict() | change)

    @pytest.mark.parametrize("text", ["", "{", "[]", "5", "null", "[" * 100_000, '"x"', '{"version": 1}'])
    def test_what_is_not_even_json_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidRecipe):
            Recipe.from_json(text)

    @given(json_values)
    def test_other_json_is_refused_and_nothing_worse(self, content: object) -> None:
        with pytest.raises(InvalidRecipe):
            Recipe.from_json(json.dumps(content))

    @given(st.dictionaries(st.sampled_from([field.name for field in dataclasses.fields(Recipe)]), json_values))
    def test_any_values_in_a_recipes_fields_make_a_recipe_or_are_refused(self, changes: dict[str, Any]) -> None:
        try:
            recipe = Recipe.from_dict(PLAIN.to_dict() | changes)
        except InvalidRecipe:
            return
        assert Recipe.from_json(recipe.to_json()) == recipe


# Every field, and whether pictures that differ in it may share a forward pass. Whoever adds a field decides here,
# and where it may differ, `tests/painter/test_sharing_a_pass.py` paints such pictures together.
SHARED: dict[type, dict[str, object]] = {  # what must be equal, each with another value than that of `PLAIN`
    Recipe: {
        "model": "sdxl",
        "width": 64,
        "height": 64,
        "num_inference_steps": 21,
        "scheduler": "euler",
        "stop": 0.5,
        "tile": True,
        "hires": Hires(width=64, height=64, strength=0.5),
        "refine": 0.2,
    },
    Source: {"strength": 0.25, "frame": Frame(x=0, y=0, width=8, height=8), "super_resolution": True},
    Mask: {},
    Hires: {"width": 32, "height": 32, "strength": 0.25},
    Frame: {"x": 8, "y": 8, "width": 16, "height": 16},
}
OWN: dict[type, set[str]] = {
    Recipe: {"prompt", "negative_prompt", "seed", "shared_seed", "shared_noise", "weird"}
    | {"guidance_scale", "loras", "embeddings", "source", "mask"},
    Source: {"digest"},
    Mask: {"digest", "words"},
    Hires: set(),
    Frame: set(),
}


class TestBatchKey:
    @pytest.mark.parametrize("part", SHARED, ids=lambda part: part.__name__)
    def test_every_field_is_decided(self, part: type) -> None:
        names = {field.name for field in dataclasses.fields(part)}
        assert set(SHARED[part]) | OWN[part] == names
        assert not set(SHARED[part]) & OWN[part]
        assert PER_PICTURE_FIELDS.get(part, frozenset()) == OWN[part]

    @pytest.mark.parametrize("name", SHARED[Recipe])
    def test_what_must_be_equal_is_in_it(self, name: str) -> None:
        assert dataclasses.replace(PLAIN, **{name: SHARED[Recipe][name]}).batch_key() != PLAIN.batch_key()

    @pytest.mark.parametrize(
        ("part", "name"), [(part, name) for part in (Source, Hires, Frame) for name in SHARED[part]]
    )
    def test_so_is_what_must_be_equal_in_a_part(self, part: type, name: str) -> None:
        framed = Source(digest="a", strength=0.5, frame=Frame(x=0, y=0, width=8, height=8))
        parts: dict[type, Any] = {
            Source: Source(digest="a", strength=0.5),
            Hires: Hires(width=64, height=64, strength=0.5),
            Frame: framed.frame,
        }

        def key(one: Any) -> object:
            if part is Hires:
                return dataclasses.replace(PLAIN, hires=one).batch_key()
            source = one if part is Source else dataclasses.replace(framed, frame=one)
            return dataclasses.replace(PLAIN, source=source).batch_key()

        assert key(parts[part]) != key(dataclasses.replace(parts[part], **{name: SHARED[part][name]}))

    def test_of_guidance_it_is_whether_there_is_any(self) -> None:
        keys = {scale: dataclasses.replace(PLAIN, guidance_scale=scale).batch_key() for scale in (1, 1.5, 20)}
        assert keys[1] != keys[1.5] == keys[20]

    @given(recipes, st.text(max_size=20), st.text(max_size=20), st.integers(0, MAX_SEED))
    def test_words_seeds_and_loras_are_not(self, recipe: Recipe, prompt: str, negative_prompt: str, seed: int) -> None:
        loras, embeddings = (LoraUse(name="ink", weight=0.3),), ("glow",)
        other = dataclasses.replace(
            recipe, prompt=prompt, negative_prompt=negative_prompt, seed=seed, loras=loras, embeddings=embeddings
        )
        assert other.batch_key() == recipe.batch_key()
        assert hash(other.batch_key()) == hash(recipe.batch_key())

    def test_of_a_source_all_but_what_it_shows_is(self) -> None:
        def key(source: Source | None) -> object:
            return dataclasses.replace(PLAIN, source=source).batch_key()

        assert key(Source(digest="a", strength=0.5)) == key(Source(digest="b", strength=0.5))
        frame = Frame(x=0, y=0, width=8, height=8)
        others = (
            None,
            Source(digest="a", strength=0),
            Source(digest="a", strength=0.5),
            Source(digest="a", strength=0.5, frame=frame),
        )
        assert len({key(source) for source in others}) == len(others)

    def test_of_a_mask_that_there_is_one(self) -> None:
        def key(mask: Mask | None) -> object:
            return dataclasses.replace(PLAIN, source=Source(digest="a", strength=1), mask=mask).batch_key()

        assert key(Mask(digest="a")) == key(Mask(digest="b")) == key(Mask(words="the boat")) != key(None)


class TestParts:
    @pytest.mark.parametrize(
        "changes",
        [
            {"mask": Mask(words="the boat")},
            {"source": Source(digest="a", strength=1, frame=Frame(x=100, y=0, width=60, height=60))},
            {
                "source": Source(digest="a", strength=1, frame=Frame(x=0, y=0, width=60, height=60)),
                "mask": Mask(digest="b"),
            },
            {"source": Source(digest="a", strength=1), "hires": Hires(width=64, height=64, strength=0.5)},
            {"stop": 0.05},
            {"weird": 3001},
            {"shared_noise": 1.5},
            {"tile": 1},
        ],
    )
    def test_what_does_not_go_together_is_refused(self, changes: dict[str, Any]) -> None:
        with pytest.raises(InvalidRecipe):
            dataclasses.replace(PLAIN, **changes)

    @pytest.mark.parametrize("mask", [{}, {"digest": "a", "words": "b"}, {"words": ""}])
    def test_a_mask_is_a_picture_or_words(self, mask: dict[str, Any]) -> None:
        with pytest.raises(InvalidRecipe):
            Mask(**mask)


class TestWork:
    @pytest.mark.parametrize(
        ("changes", "work"),
        [
            ({}, 1),
            ({"num_inference_steps": 60}, 3),
            ({"width": 256, "height": 256}, 4),
            ({"num_inference_steps": 1}, 0.05),
            ({"width": 152, "height": 104, "source": Source(digest="", strength=0.5)}, 0.4824),
            # Four windows of 192 pixels a side, and half of the steps.
            ({"width": 256, "height": 256, "source": Source(digest="", strength=0.5)}, 4.5),
            ({"source": Source(digest="", strength=0)}, 0),
            ({"num_inference_steps": 30}, 1.5),
            ({"num_inference_steps": 60, "stop": 0.5}, 1.5),
            ({"width": 256, "height": 256, "hires": Hires(width=128, height=128, strength=0.5)}, 3),
        ],
    )
    def test_it_follows_area_and_steps_that_run(self, changes: dict[str, Any], work: float) -> None:
        found = dataclasses.replace(PLAIN, **changes).work(native_size=128, default_steps=20)
        assert found == pytest.approx(work, abs=1e-4)

    @given(recipes)
    def test_it_is_never_less_than_none(self, recipe: Recipe) -> None:
        assert recipe.work(native_size=1024, default_steps=30) >= 0
        passes = 1 if recipe.hires is None else 2
        assert 0 <= recipe.steps_to_run <= recipe.num_inference_steps * passes
