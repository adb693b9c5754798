"""Aspect ratios: what may be typed, and which size comes of it."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.aspect import BUCKETS, parse_aspect, size_for
from generation.errors import InvalidAspect

aspects = st.tuples(st.integers(1, 99999), st.integers(1, 99999)).filter(lambda wh: 0.25 <= wh[0] / wh[1] <= 4)


@given(aspects, st.sampled_from(["{}:{}", " {} : {} ", "{}: {}", "0{}:{}"]))
def test_whole_numbers_are_read(size: tuple[int, int], form: str) -> None:
    text = form.format(*size)
    if form.startswith("0"):
        with pytest.raises(InvalidAspect):
            parse_aspect(text)
    else:
        assert parse_aspect(text) == Fraction(*size)


@pytest.mark.parametrize(
    "text",
    [
        *("", "16", "16:", ":9", "16/9", "16x9", "16 9", "a:b", "16:9:1", "16:9\n16:9"),
        *("1.5:1", "1e1:9", "-3:2", "0:1", "1:0", "00:01", "100000:99999", "9" * 5000 + ":1", "١٦:٩"),
        *("1:5", "5:1", "1:4.1"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidAspect) as caught:
        parse_aspect(text)
    assert caught.value.fields["value"] == text


@given(st.text(max_size=30))
def test_any_text_is_an_aspect_or_refused(text: str) -> None:
    try:
        ratio = parse_aspect(text)
    except InvalidAspect:
        return
    assert Fraction(1, 4) <= ratio <= 4


@given(aspects)
def test_it_is_the_nearest_of_sdxls_buckets(size: tuple[int, int]) -> None:
    wanted = Fraction(*size)
    width, height = size_for(wanted, 1024)
    assert (width, height) in BUCKETS
    best = min(abs(math.log(w / h) - math.log(wanted)) for w, h in BUCKETS)
    assert abs(math.log(width / height) - math.log(wanted)) == pytest.approx(best, abs=1e-9)


@given(aspects)
def test_on_its_side_it_is_the_same_size_on_its_side(size: tuple[int, int]) -> None:
    width, height = size
    assert size_for(Fraction(height, width), 1024) == size_for(Fraction(width, height), 1024)[::-1]


@given(aspects, st.sampled_from([64, 128, 192, 512, 768, 1024, 1536]))
def test_other_models_get_it_in_their_own_size(size: tuple[int, int], native_size: int) -> None:
    width, height = size_for(Fraction(*size), native_size)
    assert width % 8 == height % 8 == 0
    assert width * height == pytest.approx(native_size**2, rel=0.3)
    assert width / height == pytest.approx(size[0] / size[1], rel=0.35)


@pytest.mark.parametrize(
    ("aspect", "native_size", "expected"),
    [
        ("1:1", 1024, (1024, 1024)),
        ("16:9", 1024, (1344, 768)),
        ("9:16", 1024, (768, 1344)),
        ("3:2", 1024, (1216, 832)),
        ("4:1", 1024, (2048, 512)),
        ("1:1", 128, (128, 128)),
        ("3:2", 128, (152, 104)),
        ("16:9", 128, (168, 96)),
        ("9:16", 128, (96, 168)),
    ],
)
def test_what_people_ask_for_most(aspect: str, native_size: int, expected: tuple[int, int]) -> None:
    assert size_for(parse_aspect(aspect), native_size) == expected


def test_there_are_as_many_buckets_as_in_the_paper() -> None:
    assert len(set(BUCKETS)) == len(BUCKETS) == 41
    assert all(width % 64 == height % 64 == 0 for width, height in BUCKETS)
