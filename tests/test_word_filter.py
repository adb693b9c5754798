"""Blocked words are found in whatever writing, and nothing else is."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.word_filter.defaults import default_words
from bot.word_filter.folding import LOOK_ALIKES, fold
from bot.word_filter.word_filter import WordFilter, normal_form

NOODLES = WordFilter(["noodles", "red paint", "ass", "kill", "2girls", "裸体", "ラーメン"])
SIGNS = {"o": "0", "i": "1!", "l": "1|", "e": "3€", "a": "4@", "s": "5$", "t": "7+", "b": "8", "g": "9"}
WORDS = st.text(string.ascii_lowercase, min_size=3, max_size=12)
BY_LATIN: dict[str, list[str]] = {}
for code_point, latin in LOOK_ALIKES.items():
    BY_LATIN.setdefault(latin, []).append(chr(code_point))


@pytest.mark.parametrize(
    ("prompt", "word"),
    [
        ("a bowl of NOODLES!", "noodles"),
        ("Ｎｏｏｄｌｅｓ", "noodles"),
        ("ⓝⓞⓞⓓⓛⓔⓢ", "noodles"),
        ("𝓷𝓸𝓸𝓭𝓵𝓮𝓼", "noodles"),
        ("nöódlês", "noodles"),
        ("n̶o̶o̶d̶l̶e̶s̶", "noodles"),
        ("noo\u200bdl\u00ades", "noodles"),
        ("nооdlеs", "noodles"),  # Cyrillic о and е
        ("n00d1e5", "noodles"),
        ("n o o d l e s", "noodles"),
        ("a n.o-o_d l e s too", "noodles"),
        ("eat n 0 0 d l 3 s now", "noodles"),
        ("noo-dles", "noodles"),
        ("n*o*o*dles", "noodles"),
        ("(noodles:1.3)", "noodles"),
        ("boats::2 noodles::-0.5", "noodles"),
        ("red  PAINT", "red paint"),
        ("r3d pa!nt", "red paint"),
        ("r e d p a i n t", "red paint"),
        ("a$$", "ass"),
        ("k!11", "kill"),
        ("kiII", "kill"),
        ("noo‐dles", "noodles"),
        ("noo/dles", "noodles"),
        ("🅺🅸🅻🅻", "kill"),
        ("ᴋɪʟʟ", "kill"),
        ("2girls", "2girls"),
        ("一张裸体的画", "裸体"),
        ("おいしいﾗｰﾒﾝ", "ラーメン"),
    ],
)
def test_a_word_is_found_in_every_writing(prompt: str, word: str) -> None:
    assert NOODLES.find(prompt) == word


@pytest.mark.parametrize(
    "prompt",
    [
        "a noodlesoup", "grass and glass", "a skill", "assassin", "fail", "red and paint", "paint red", "2 girls",
        "A B C d e f", "50 mm lens, f/1.8", "k. i. ll", "", "!!!", "1 11 111", "体裸", "455", "mix 4:5:5", "Ill",
    ],
)  # fmt: skip
def test_what_is_none_is_none(prompt: str) -> None:
    assert NOODLES.find(prompt) is None


@given(WORDS, st.data())
def test_any_mixture_of_disguises_is_seen_through(word: str, data: st.DataObject) -> None:
    written = []
    for letter in word:
        forms = [letter, letter.upper(), *SIGNS.get(letter, ""), *BY_LATIN.get(letter, [])]
        forms += [chr(ord(letter) + 0xFEE0), letter + "\u0301", "\u200d" + letter]
        written.append(data.draw(st.sampled_from(forms)))
    written[0] = word[0]  # signs alone are a number
    apart = data.draw(st.sampled_from(["", "", " ", "  ", ".", "-"]))
    before, after = data.draw(st.sampled_from([("", ""), ("a boat, ", ", sea"), ("(", ":1.2)")]))
    assert WordFilter([word]).find(before + apart.join(written) + after) == word


@given(WORDS, WORDS, WORDS)
def test_a_word_inside_of_another_is_not_found(word: str, before: str, after: str) -> None:
    longer = before + word + after
    assert WordFilter([word]).find(f"a {longer} boat") is None or word in ("a", "boat", longer)


@given(st.text(max_size=200))
def test_folding_what_is_folded_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.lists(st.text(max_size=20), max_size=5), st.text(max_size=300))
def test_no_text_and_no_list_makes_it_raise(words: list[str], text: str) -> None:
    found = WordFilter(words).find(text)
    assert found is None or found in words


@given(st.text(max_size=40))
def test_what_is_blocked_is_found_as_it_was_written(word: str) -> None:
    assert WordFilter([word]).find(word) == (word if normal_form(word) else None)


def test_the_default_list_has_each_entry_once_and_finds_each() -> None:
    forms = [normal_form(word) for word in default_words()]
    assert len(set(forms)) == len(forms) > 30
    for word in default_words():
        assert WordFilter(default_words()).find(f"a {word} in a field") is not None


@pytest.mark.parametrize(
    "prompt",
    [
        "a child with a red balloon", "a field of rape seed", "Saint Sebastian, naked, by Mantegna", "a minor key",
        "two kids on a beach", "a nude by Modigliani", "grapes and drapes", "a kikeru bird", "Lola runs",
        "the year 1011", "10.11", "date 10-11 morning", "1,0,1,1", "binary code 1 0 1 1", "10115 Berlin",
    ],
)  # fmt: skip
def test_the_default_list_leaves_innocent_prompts_alone(prompt: str) -> None:
    assert WordFilter(default_words()).find(prompt) is None
