"""A picture inside a larger one: sizes, places, and that nothing is bent."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from generation.aspect import WIDEST, size_for
from generation.framing import (
    LEAST_NATIVE_AREA,
    PAN_GROWTH,
    Canvas,
    Framing,
    Side,
    extended,
    framed,
    panned,
    squared,
    zoomed,
)
from generation.recipe import Frame
from generation.tiles import NATIVE_AREA_TOLERANCE

sides = st.integers(64, 4096)
natives = st.sampled_from([128, 512, 1024])
zooms = st.fractions(1, 2, max_denominator=100)
aspects = st.none() | st.fractions(Fraction(1, 3), 3, max_denominator=20)
growths = st.dictionaries(st.sampled_from(Side), st.fractions(Fraction(1, 10), 1, max_denominator=100), min_size=1)
canvases = st.one_of(
    st.builds(zoomed, sides, sides, zooms, aspects),
    st.builds(squared, sides, sides),
    st.builds(panned, sides, sides, st.sampled_from(Side)),
    st.builds(extended, sides, sides, growths),
).filter(lambda canvas: canvas.grows and 1 / WIDEST <= canvas.aspect <= WIDEST)


def box(frame: Frame) -> tuple[int, int, int, int]:
    return frame.x, frame.y, frame.width, frame.height


@example(
    canvas=zoomed(64, 2257, Fraction(2), Fraction(49, 18)), native_size=128
)  # its width comes to less than a pixel
@example(canvas=zoomed(353, 279, Fraction(1), Fraction(5, 4)), native_size=128)  # its height, to more than the canvas's
@given(canvas=canvases, native_size=natives)
def test_the_picture_stands_inside_and_is_not_bent(canvas: Canvas, native_size: int) -> None:
    framing = framed(canvas, native_size)
    frame = framing.frame
    assert 0 <= frame.x <= framing.width - frame.width
    assert 0 <= frame.y <= framing.height - frame.height
    scales = Fraction(frame.width, canvas.inner_width), Fraction(frame.height, canvas.inner_height)
    # Both sides by the same scale, to the pixel; to two where the picture stands in the middle.
    longer = max(canvas.inner_width, canvas.inner_height)
    assert abs(scales[0] - scales[1]) * longer <= 2 * Fraction(longer, min(canvas.inner_width, canvas.inner_height))


@given(canvas=canvases, native_size=natives)
def test_sizes_are_what_the_model_draws_well(canvas: Canvas, native_size: int) -> None:
    framing = framed(canvas, native_size)
    assert framing.width % 8 == framing.height % 8 == 0
    share = framing.width * framing.height / native_size**2
    bucket = size_for(canvas.aspect, native_size)
    # A few percent of a bucket's area go by rounding: at 128 pixels, 8 of them are many.
    least = min(float(LEAST_NATIVE_AREA), 0.85 * bucket[0] * bucket[1] / native_size**2)
    assert least <= share <= max(NATIVE_AREA_TOLERANCE, 1 + 8 / min(bucket))
    shorter = min(framing.width, framing.height)
    assert abs(framing.width / framing.height / float(canvas.aspect) - 1) <= 8 / shorter


@given(canvas=canvases, native_size=natives)
def test_what_was_asked_for_is_there(canvas: Canvas, native_size: int) -> None:
    """Edges that picture and canvas share are shared exactly; where something was added, there is something."""
    framing = framed(canvas, native_size)
    frame = framing.frame
    for start, inner, outer, place, size, length in (
        (canvas.x, canvas.inner_width, canvas.width, frame.x, frame.width, framing.width),
        (canvas.y, canvas.inner_height, canvas.height, frame.y, frame.height, framing.height),
    ):
        if start == 0:
            assert place == 0
        if start + inner == outer:
            assert place + size == length
        if outer >= inner * Fraction(11, 10) and native_size >= 512:
            assert size < length


@given(width=sides, height=sides, native_size=natives)
def test_the_old_picture_keeps_its_pixels_where_there_is_room_for_them(
    width: int, height: int, native_size: int
) -> None:
    assume(Fraction(1, 4) <= Fraction(width, height) <= 4)
    zoom = Fraction(3, 2)
    share = Fraction(width * height, native_size**2) * zoom**2
    frame = framed(zoomed(width, height, zoom), native_size).frame
    if Fraction(6, 10) < share < 1:
        assert (frame.width, frame.height) == (width, height)
    if share > Fraction(12, 10):
        assert frame.width < width
        assert frame.height < height


@given(width=sides, height=sides)
def test_panning_left_mirrors_panning_right(width: int, height: int) -> None:
    left = panned(width, height, Side.LEFT)
    assert (left.width, left.height) == (width * (1 + PAN_GROWTH), height)
    assert (left.x, left.y) == (width * PAN_GROWTH, 0)
    right = panned(width, height, Side.RIGHT)
    assert (right.width, right.height, right.x) == (left.width, left.height, 0)
    assume(Fraction(1, 4) <= left.aspect <= 4)
    one, other = framed(left, 1024), framed(right, 1024)
    assert (one.width, one.height) == (other.width, other.height)
    assert one.frame.x == one.width - other.frame.width
    assert (one.frame.width, one.frame.height) == (other.frame.width, other.frame.height)


@given(width=sides, height=sides, native_size=natives)
def test_a_zoomed_picture_stands_in_the_middle(width: int, height: int, native_size: int) -> None:
    assume(Fraction(1, 4) <= Fraction(width, height) <= 4)
    framing = framed(zoomed(width, height, Fraction(2)), native_size)
    frame = framing.frame
    assert abs(framing.width - frame.width - 2 * frame.x) <= 1
    assert abs(framing.height - frame.height - 2 * frame.y) <= 1


@pytest.mark.parametrize(
    ("canvas", "size", "frame"),
    [
        (zoomed(1024, 1024, Fraction(2)), (1024, 1024), (256, 256, 512, 512)),
        (zoomed(1024, 1024, Fraction(3, 2)), (1024, 1024), (171, 171, 682, 682)),
        (zoomed(1024, 1024, Fraction(1), Fraction(3, 2)), (1232, 824), (204, 0, 824, 824)),
        (zoomed(1216, 832, Fraction(2)), (1216, 832), (304, 208, 608, 416)),
        (squared(1216, 832), (1024, 1024), (0, 162, 1024, 700)),
        (panned(1024, 1024, Side.RIGHT), (1232, 824), (0, 0, 824, 824)),
        (panned(1024, 1024, Side.LEFT), (1232, 824), (408, 0, 824, 824)),
        (panned(1024, 1024, Side.TOP), (824, 1232), (0, 408, 824, 824)),
        (panned(1024, 1024, Side.BOTTOM), (824, 1232), (0, 0, 824, 824)),
        (extended(832, 1216, {Side.RIGHT: Fraction(1, 10)}), (912, 1216), (0, 0, 832, 1216)),
    ],
)
def test_sizes_and_frames_as_sdxl_gets_them(
    canvas: Canvas, size: tuple[int, int], frame: tuple[int, int, int, int]
) -> None:
    framing: Framing = framed(canvas, 1024)
    assert (framing.width, framing.height) == size
    assert box(framing.frame) == frame


def test_a_square_picture_is_square_already() -> None:
    assert not squared(1024, 1024).grows
    assert squared(1024, 1032).grows
    assert not zoomed(640, 480, Fraction(1)).grows
