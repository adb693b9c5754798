"""What a member set once: whatever storage holds, an order is never refused for it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.flags import Request
from bot.member_defaults import MemberDefaults
from generation.catalogue import Catalogue, ModelSpec, Style
from generation.job import Priority

CATALOGUE = Catalogue(
    models={"pocket": ModelSpec(name="pocket", source="")},
    default_model="pocket",
    styles={"ink": Style(name="ink", template="ink drawing of {prompt}")},
)
SET = MemberDefaults(style="ink", aspect="3:2", model="pocket", stylize=50, remix=True, relax=True)
values = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["ink", "raw", "3:2"])
)
FIELDS = ("style", "aspect", "model", "stylize", "remix", "relax")


def test_what_was_stored_is_read_back() -> None:
    assert MemberDefaults.read(SET.stored(), CATALOGUE) == SET
    assert MemberDefaults().stored() is None


@given(st.dictionaries(st.sampled_from(FIELDS), values | st.lists(values)) | values | st.lists(values))
def test_anything_else_is_left_out(stored: Any) -> None:
    request = MemberDefaults.read(stored, CATALOGUE).applied_to(Request(prompt="a boat"))
    assert request.style in (None, "ink", "raw")
    assert request.aspect is None or Fraction(1, 4) <= request.aspect <= 4
    assert request.model in (None, "pocket")
    assert request.stylize is None or 0 <= request.stylize <= 1000


def test_what_an_order_says_counts_more() -> None:
    said = Request(prompt="a boat", style="raw", aspect=Fraction(1), model="other", stylize=0, priority=Priority.FAST)
    assert SET.applied_to(said) == said
    assert SET.applied_to(Request(prompt="a boat"), starts_from_picture=True).aspect is None
