"""From one prompt to the jobs that its braces and `--repeat` make."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.flag_errors import FlagAgainstOption, FlagRepeated, FlagValueInvalid, PromptEmpty
from bot.flags import FlagParser, Request
from bot.series import MAX_JOBS, OneJobOnly, TooManyAtOnce, only_one, series_of
from generation.errors import RequestRejected
from generation.prompt_language.errors import BracesUnbalanced, TooManyPermutations
from generation.recipe import MAX_SEED

PARSER = FlagParser(max_steps=60, max_prompt_length=2000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a boat --seed 7", [Request(prompt="a boat", seed=7)]),
        ("a {red, blue} boat", [Request(prompt="a red boat"), Request(prompt="a blue boat")]),
        (
            "a {red, {light, dark} blue} boat",
            [Request(prompt=f"a {c} boat") for c in ("red", "light blue", "dark blue")],
        ),
        (
            "a boat --ar {1:1, 3:2} --{draft, tile}",
            [
                Request(prompt="a boat", aspect=aspect, draft=draft, tile=not draft)
                for aspect in (Fraction(1), Fraction(3, 2))
                for draft in (True, False)
            ],
        ),
        ("a boat {, --raw}", [Request(prompt="a boat"), Request(prompt="a boat", style="raw")]),
        (r"a \{red\} boat\, at sea", [Request(prompt=r"a \{red\} boat\, at sea")]),
        ("a boat --repeat 3", [Request(prompt="a boat")] * 3),
        (
            "a {red, blue} boat --n 2 --seed 7 --r 2",
            [Request(prompt=f"a {c} boat", count=2, seed=seed) for c in ("red", "blue") for seed in (7, 9)],
        ),
        ("a boat --repeat {2, 3}", [Request(prompt="a boat")] * 5),
    ],
)
def test_each_job_has_its_request(text: str, expected: list[Request]) -> None:
    assert list(series_of(PARSER, text)) == expected


def test_options_hold_for_every_job() -> None:
    found = series_of(PARSER, "a {red, blue} boat", {"aspect": "3:2", "model": None})
    assert [request.aspect for request in found] == [Fraction(3, 2)] * 2


def test_flags_alone_are_enough_where_there_is_a_picture() -> None:
    assert len(series_of(PARSER, "--stop {50, 100}", wordless=True)) == 2
    with pytest.raises(PromptEmpty):
        series_of(PARSER, "--stop {50, 100}")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a {red boat", BracesUnbalanced),
        ("{a,b}" * 6, TooManyPermutations),
        ("{a,b} boat --r 21", TooManyAtOnce),
        ("a boat --r 1", FlagValueInvalid),
        ("a boat --ar {1:1, 9:1}", FlagValueInvalid),
        ("a boat {--tile, --draft} --tile", FlagRepeated),
    ],
)
def test_one_mistake_refuses_all(text: str, error: type[RequestRejected]) -> None:
    with pytest.raises(error):
        series_of(PARSER, text)


def test_where_only_one_job_can_be_ordered_several_are_refused() -> None:
    assert only_one(PARSER, "a {red} boat --seed 7") == Request(prompt="a red boat", seed=7)
    for text in ("a {red, blue} boat", "a boat --repeat 2"):
        with pytest.raises(OneJobOnly) as caught:
            only_one(PARSER, text)
        assert caught.value.fields == {"count": 2}


def test_an_option_against_a_flag_that_only_some_have_is_refused() -> None:
    with pytest.raises(FlagAgainstOption):
        series_of(PARSER, "a boat {--ar 3:2, }", {"aspect": "1:1"})


@given(seed=st.integers(0, MAX_SEED), count=st.none() | st.integers(1, 4), repeat=st.integers(2, MAX_JOBS))
def test_no_picture_is_drawn_twice(seed: int, count: int | None, repeat: int) -> None:
    text = PARSER.to_text(Request(prompt="a boat", seed=seed, count=count, repeat=repeat))
    seeds = [
        (request.seed + index) % (MAX_SEED + 1)
        for request in series_of(PARSER, text)
        for index in range(count or 4)
        if request.seed is not None
    ]
    assert len(set(seeds)) == len(seeds) == repeat * (count or 4)
    assert all(request.repeat is None for request in series_of(PARSER, text))


@given(st.lists(st.sampled_from(["{", "}", ",", "\\", "a ", "--r 2", " --ar ", "3:2", "—"]), max_size=25).map("".join))
def test_any_text_is_a_series_or_refused(text: str) -> None:
    try:
        requests = series_of(PARSER, text)
    except RequestRejected:
        return
    assert 1 <= len(requests) <= MAX_JOBS
