"""What becomes of prompts: their embeddings on a tiny model, and what weights and parts do to pocket's pictures."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from generation.catalogue import EmbeddingSpec, ModelSpec
from generation.embeddings import check_embedding, read_embedding
from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable, PaintingFailed
from generation.painter.conditioning import PromptEmbeddings, encode_prompts
from generation.painter.devices import Placement, choose_placement
from generation.painter.models import LoadedModel, load_model
from generation.painter.painter import Painter
from generation.pocket import measure
from generation.recipe import LoraUse, Recipe
from tests.painter.lora_files import save_lora
from tests.painter.tiny_sdxl import distance, paint, recipe

CPU = torch.device("cpu")
LONG = "a stone wall, " * 12  # one letter is one token of the tiny model's


@pytest.fixture(scope="module")
def model(tiny: ModelSpec) -> LoadedModel:
    return load_model(tiny, choose_placement(PainterSettings(device="cpu")))


def encode(model: LoadedModel, prompt: str, negative: str = "", *embeddings: EmbeddingSpec) -> PromptEmbeddings:
    with torch.inference_mode():
        (encoded,) = encode_prompts(
            model.text_to_image, [recipe(prompt, negative_prompt=negative)], model.device, embeddings
        )
    return encoded


def gap(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max())


class TestEmbeddings:
    @pytest.mark.parametrize(
        ("prompt", "negative"), [("a boat", ""), ("a boat", "dull, grey"), ("", ""), ("a: b", "c")]
    )
    def test_plain_words_are_as_in_diffusers(self, model: LoadedModel, prompt: str, negative: str) -> None:
        ours = encode(model, prompt, negative)
        with torch.inference_mode():
            theirs = model.text_to_image.encode_prompt(
                prompt=prompt, negative_prompt=negative or None, device=CPU, do_classifier_free_guidance=True
            )
        for one, other in zip((ours.prompt, ours.negative, ours.pooled, ours.negative_pooled), theirs, strict=True):
            assert gap(one, other) < 1e-5

    def test_without_zeros_an_empty_negative_prompt_is_an_empty_text(self, tiny: ModelSpec) -> None:
        model = load_model(tiny, choose_placement(PainterSettings(device="cpu")))
        model.text_to_image.register_to_config(force_zeros_for_empty_prompt=False)
        none = encode(model, LONG)
        assert none.negative.shape == none.prompt.shape
        assert gap(none.negative[:, :77], encode(model, "").prompt) < 1e-5
        assert gap(none.negative[:, 77:154], encode(model, "").prompt) < 1e-5

    @pytest.mark.parametrize(
        ("prompt", "negative", "length"),
        [
            ("a b", "", 77),
            ("a" * 75, "", 77),
            ("a " * 76, "", 154),
            (LONG, "", 154),
            ("a", LONG, 154),
            (f"a:: {LONG}", "", 154),
        ],
    )
    def test_any_length_in_chunks(self, model: LoadedModel, prompt: str, negative: str, length: int) -> None:
        encoded = encode(model, prompt, negative)
        assert encoded.length == length
        assert encoded.prompt.shape == encoded.negative.shape == (1, length, 80)
        assert encoded.pooled.shape == encoded.negative_pooled.shape == (1, 48)

    def test_a_weight_of_one_is_no_weight(self, model: LoadedModel) -> None:
        assert gap(encode(model, "a (red:1) boat").prompt, encode(model, "a red boat").prompt) == 0

    def test_a_word_of_weight_nothing_is_heard_by_no_other_word(self, model: LoadedModel) -> None:
        red, blue = encode(model, "a (r:0) boat"), encode(model, "a (b:0) boat")
        assert gap(red.prompt, blue.prompt) < 1e-5
        assert gap(red.pooled, blue.pooled) < 1e-5
        assert gap(encode(model, "a r boat").prompt, encode(model, "a b boat").prompt) > 0.1

    def test_weights_are_steady(self, model: LoadedModel) -> None:
        """Each small step of a weight is a small step of the embeddings, also across 1 and with others beside it."""
        weights = [step / 20 for step in range(41)]
        encoded = [encode(model, f"a (red:{weight}) [boat] (sea:1.4)").prompt for weight in weights]
        steps = [gap(one, other) for one, other in itertools.pairwise(encoded)]
        assert min(steps) > 0
        assert max(steps) < 0.2 * gap(encoded[0], encoded[-1])

    def test_parts_are_blended_by_their_weights(self, model: LoadedModel) -> None:
        a, b = encode(model, "a boat"), encode(model, "the sea at night")
        blend = encode(model, "a boat:: the sea at night::3")
        for name in ("prompt", "pooled"):
            assert gap(getattr(blend, name), 0.25 * getattr(a, name) + 0.75 * getattr(b, name)) < 1e-5

    def test_negative_parts_are_moved_away_from(self, model: LoadedModel) -> None:
        a, b = encode(model, "a boat").prompt, encode(model, "night").prompt
        assert gap(encode(model, "a boat::2 night::-1").prompt, a + 0.5 * (a - b)) < 1e-5
        assert gap(encode(model, "x", "a boat::2 night::-1").negative, a + 0.5 * (a - b)) < 1e-5

    @pytest.mark.parametrize("prompt", ["( :0.3) a", "(\u200b:0.3) a", "<|endoftext|> a (b:0.5)", "\x00", "🙂" * 90])
    def test_odd_texts_have_embeddings_too(self, model: LoadedModel, prompt: str) -> None:
        assert torch.isfinite(encode(model, prompt).prompt).all()

    def test_what_is_no_prompt_cannot_be_painted(self, model: LoadedModel) -> None:
        with pytest.raises(PaintingFailed):
            encode(model, "(a:9)")

    def test_where_the_encoders_wait_in_main_memory(self, tiny: ModelSpec, model: LoadedModel) -> None:
        """The CPU stands in for the device."""
        offloaded = load_model(tiny, Placement(device=CPU, dtype=torch.float32, vram="medium"))
        for prompt in ("a boat", "a (red:1.4) [boat]:: b::-0.5", LONG):
            with torch.no_grad():
                (encoded,) = encode_prompts(
                    offloaded.text_to_image, [recipe(prompt, negative_prompt="c")], offloaded.device
                )
            expected = encode(model, prompt, "c")
            assert gap(encoded.prompt, expected.prompt) < 1e-5
            assert gap(encoded.negative, expected.negative) < 1e-5
            assert encoded.prompt.device == offloaded.device

    def test_loras_of_the_text_encoders_act(self, tiny: ModelSpec, tmp_path: Path) -> None:
        model = load_model(tiny, choose_placement(PainterSettings(device="cpu")))
        lora = save_lora(tmp_path, "ink", seed=1, text_encoders=True)
        plain = encode(model, "a (red:1.2) boat")
        model.adapters.switch([LoraUse(name="ink", weight=1)], [lora])
        assert gap(encode(model, "a (red:1.2) boat").prompt, plain.prompt) > 0.01
        model.adapters.switch([], [])
        assert gap(encode(model, "a (red:1.2) boat").prompt, plain.prompt) == 0


def save_embedding(folder: Path, name: str, model: LoadedModel, words: Sequence[str]) -> EmbeddingSpec:
    """An embedding with a vector for each of the words: the mean of its tokens' own."""
    pipeline = model.text_to_image
    tensors = {}
    for tensor, tokenizer, encoder in (
        ("clip_l", pipeline.tokenizer, pipeline.text_encoder),
        ("clip_g", pipeline.tokenizer_2, pipeline.text_encoder_2),
    ):
        table = encoder.get_input_embeddings().weight.detach()
        ids = [tokenizer(word, add_special_tokens=False)["input_ids"] for word in words]
        tensors[tensor] = torch.stack([table[each].mean(0) for each in ids])
    save_file(tensors, folder / f"{name}.safetensors")
    embedding = read_embedding(folder / f"{name}.safetensors")
    check_embedding(embedding, model.spec)
    return embedding


class TestTextualInversions:
    def test_a_name_stands_for_its_vectors(self, model: LoadedModel, tmp_path: Path) -> None:
        one = save_embedding(tmp_path, "one", model, ["r"])
        several = save_embedding(tmp_path, "several_2", model, ["r", "e", "d"])
        for prompt, same in [
            ("a one boat", "a r boat"),
            ("a (Several_2:1.3), b", "a (r e d:1.3), b"),
            ("several_2 one:: c::-0.5", "r e d r:: c::-0.5"),
            ("one" + " a" * 80, "r" + " a" * 80),
        ]:
            ours, plain = encode(model, prompt, "one", one, several), encode(model, same, "r")
            assert gap(ours.prompt, plain.prompt) < 1e-5
            assert gap(ours.pooled, plain.pooled) < 1e-5
            assert gap(ours.negative, plain.negative) < 1e-5
            assert gap(ours.prompt, encode(model, prompt, "one").prompt) > 0.1

    def test_its_vectors_stay_together_where_a_text_is_cut(self, model: LoadedModel, tmp_path: Path) -> None:
        embedding = save_embedding(tmp_path, "several", model, ["r", "e", "d"])
        ours = encode(model, "a " * 74 + "several", "", embedding)
        assert gap(ours.prompt[:, 77:], encode(model, "r e d").prompt) < 1e-5

    def test_it_leaves_no_trace(self, model: LoadedModel, tmp_path: Path) -> None:
        before = encode(model, "a one boat")
        embedding = save_embedding(tmp_path, "one", model, ["r"])
        encode(model, "a one boat", "", embedding)
        assert gap(encode(model, "a one boat").prompt, before.prompt) == 0

    def test_a_word_is_not_a_part_of_another(self, model: LoadedModel, tmp_path: Path) -> None:
        embedding = save_embedding(tmp_path, "one", model, ["r"])
        assert gap(encode(model, "zone one-way", "", embedding).prompt, encode(model, "zone one-way").prompt) == 0

    @pytest.mark.parametrize("content", [b"", b"not at all"])
    def test_a_file_that_is_broken_since(self, model: LoadedModel, tmp_path: Path, content: bytes) -> None:
        embedding = save_embedding(tmp_path, "one", model, ["r"])
        embedding.path.write_bytes(content)
        with pytest.raises(ModelUnavailable):
            encode(model, "one", "", embedding)
        embedding.path.unlink()
        with pytest.raises(ModelUnavailable):
            encode(model, "one", "", embedding)


BALL = Recipe(
    prompt="a ball on the snow",
    model="pocket",
    width=128,
    height=128,
    seed=0,
    num_inference_steps=20,
    guidance_scale=4.5,
)
FILLER = "masterpiece, best quality, highly detailed, sharp focus, digital art, " * 8


def drawn(artist: Painter, pocket: ModelSpec, *prompts: str, count: int = 2, **fields: Any) -> list[list[Image.Image]]:
    """For each prompt the pictures of as many seeds."""
    embeddings = fields.pop("specs", ())
    recipes = [
        dataclasses.replace(BALL, prompt=prompt, seed=seed, **fields) for prompt in prompts for seed in range(count)
    ]
    pictures = paint(artist, pocket, *recipes, embeddings=embeddings).pictures
    images = [Image.open(BytesIO(picture.png)).convert("RGB") for picture in pictures]
    return [images[start : start + count] for start in range(0, len(images), count)]


def share_of(colour: int, images: Sequence[Image.Image]) -> float:
    """The share of the pixels in which one channel (0 red, 1 green, 2 blue) is far above the others."""
    pixels = np.stack([np.asarray(image, dtype=np.int64) for image in images])
    others = np.delete(pixels, colour, axis=-1).max(-1)
    return float((pixels[..., colour] - others > 70).mean())


RED, BLUE = 0, 2


class TestMeaning:
    def test_a_weaker_word_acts_less(self, artist: Painter, pocket: ModelSpec) -> None:
        series = drawn(artist, pocket, *(f"a (red:{weight}) ball on the snow" for weight in (0, 0.2, 1)), count=4)
        reds = [share_of(RED, images) for images in series]
        assert reds == sorted(reds), reds
        assert reds[0] < 0.2 * reds[-1], reds
        assert {measure.subject_colour(image) for image in series[-1]} == {"red"}

    def test_a_stronger_word_acts_more(self, artist: Painter, pocket: ModelSpec) -> None:
        """Against another colour, which wins where neither is stronger."""
        weights = (1, 1.4, 1.8)
        series = drawn(artist, pocket, *(f"a (red:{weight}) blue ball on the snow" for weight in weights), count=4)
        reds, blues = ([share_of(colour, images) for images in series] for colour in (RED, BLUE))
        assert reds == sorted(reds), reds
        assert blues == sorted(blues, reverse=True), blues
        assert {measure.subject_colour(image) for image in series[0]} == {"blue"}
        assert {measure.subject_colour(image) for image in series[-1]} == {"red"}

    def test_parts_by_their_weights(self, artist: Painter, pocket: ModelSpec) -> None:
        weights = (4, 1, 0.25)
        series = drawn(
            artist, pocket, *(f"a blue ball on the snow::{weight} a red ball on the snow" for weight in weights)
        )
        reds = [share_of(RED, images) for images in series]
        assert reds == sorted(reds), reds
        assert {measure.subject_colour(image) for image in series[0]} == {"blue"}
        assert {measure.subject_colour(image) for image in series[-1]} == {"red"}

    def test_negative_parts_take_away(self, artist: Painter, pocket: ModelSpec) -> None:
        plain, without = drawn(artist, pocket, "a ball on the snow", "a ball on the snow:: blue::-0.9", count=4)
        assert share_of(BLUE, without) < 0.2 * share_of(BLUE, plain)
        assert "blue" in {measure.subject_colour(image) for image in plain}
        assert "blue" not in {measure.subject_colour(image) for image in without}

    def test_the_last_words_of_a_long_prompt_count(self, artist: Painter, pocket: ModelSpec) -> None:
        series = drawn(artist, pocket, *(f"{FILLER} a {colour} ball on the snow" for colour in ("red", "blue")))
        assert [[measure.subject_colour(image) for image in images] for images in series] == [["red"] * 2, ["blue"] * 2]

    def test_no_picture_depends_on_a_neighbour_with_a_longer_prompt(self, artist: Painter, pocket: ModelSpec) -> None:
        long = dataclasses.replace(BALL, prompt=f"{FILLER} a cat", seed=3)
        alone = paint(artist, pocket, BALL).pictures[0]
        among = paint(artist, pocket, long, BALL, dataclasses.replace(BALL, negative_prompt=FILLER)).pictures
        assert distance(among[1], alone) <= 2
        assert distance(among[2], alone) > 2

    def test_an_embedding_acts(self, artist: Painter, pocket: ModelSpec, tmp_path: Path) -> None:
        model = load_model(pocket, choose_placement(PainterSettings(device="cpu")))
        embedding = save_embedding(tmp_path, "zorb", model, ["red boat"])
        (plain,) = drawn(artist, pocket, "a zorb on the snow", count=4)
        (ours,) = drawn(artist, pocket, "a zorb on the snow", count=4, embeddings=("zorb",), specs=(embedding,))
        assert share_of(RED, ours) > 3 * share_of(RED, plain)
        assert [measure.subject_colour(image) for image in ours].count("red") >= 3
        assert "red" not in [measure.subject_colour(image) for image in plain]
