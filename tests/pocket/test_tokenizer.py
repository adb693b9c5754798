"""Whatever a member types can be tokenized; the words of the scenes are whole tokens."""

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from generation.pocket.captions import FILLER, NEGATIVE_FILLER, caption
from generation.pocket.scenes import COLOURS, GROUNDS, KINDS, PLACES, SKIES, sample_scene

FOLDER = Path(__file__).parents[2] / "generation" / "pocket" / "weights" / "tokenizer"
TOKENIZER = CLIPTokenizer.from_pretrained(FOLDER)


def squeezed(text: str) -> str:
    """As CLIP reads: composed, in lower case, and blanks mean nothing."""
    normalized: str = TOKENIZER.backend_tokenizer.normalizer.normalize_str(text)
    return "".join(normalized.split())


@given(st.text(max_size=60))
def test_any_text_comes_back_from_its_tokens(text: str) -> None:
    ids = TOKENIZER(text, add_special_tokens=False).input_ids
    assert TOKENIZER.unk_token_id not in ids or TOKENIZER.unk_token_id == TOKENIZER.eos_token_id
    assert squeezed(TOKENIZER.decode(ids)) == squeezed(text)


@given(st.text())
def test_any_text_fits_the_encoder(text: str) -> None:
    ids = TOKENIZER(text, padding="max_length", max_length=77, truncation=True).input_ids
    assert len(ids) == 77
    assert ids[0] == TOKENIZER.bos_token_id
    assert TOKENIZER.eos_token_id in ids


@pytest.mark.parametrize("word", [*KINDS, *COLOURS, *PLACES, *GROUNDS, *SKIES, "ink", "pastel", "pixel", "neon"])
def test_words_of_the_scenes_are_whole_tokens(word: str) -> None:
    assert len(TOKENIZER(word, add_special_tokens=False).input_ids) == 1


def test_captions_are_far_from_the_limit_of_77_tokens() -> None:
    rng = random.Random(4)
    assert max(len(TOKENIZER(caption(sample_scene(rng), rng)).input_ids) for _ in range(500)) <= 60


def test_filler_words_are_listed_once() -> None:
    assert len(set(FILLER)) == len(FILLER)
    assert len(set(NEGATIVE_FILLER)) == len(NEGATIVE_FILLER)
