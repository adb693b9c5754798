"""Counts and sums below a bound, against the plain way to take them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generation.queue import prefix_sums
from generation.queue.fluid import Fluid
from generation.queue.prefix_sums import PrefixSums

NUMBERS = st.integers(0, 12).map(float)


@settings(max_examples=200, deadline=None)
@given(
    at_first=st.lists(NUMBERS, max_size=40),
    steps=st.lists(st.tuples(st.booleans(), NUMBERS), max_size=60),
    block=st.integers(1, 4),
)
def test_whatever_comes_and_goes_the_sums_are_right(
    at_first: list[float], steps: list[tuple[bool, float]], block: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix_sums, "BLOCK", block)
        sums, plain = PrefixSums(at_first), list(at_first)
        for comes, number in steps:
            if comes:
                sums.add(number)
                plain.append(number)
            elif number in plain:
                sums.remove(number)
                plain.remove(number)
            for bound in (-1.0, number - 0.5, number, 13.0):
                below = [each for each in plain if each <= bound]
                assert sums.until(bound) == (len(below), sum(below))


def test_of_very_many_only_few_are_moved() -> None:
    sums = PrefixSums(map(float, range(100_000)))
    before = {id(block): len(block) for block in sums._blocks}
    sums.add(50_000.5)
    sums.remove(70_000.0)
    changed = [block for block in sums._blocks if before.get(id(block)) != len(block)]
    assert sum(map(len, changed)) <= 2 * (prefix_sums.BLOCK + 1)
    assert sums.until(60_000.0) == (60_002, sum(range(60_001)) + 50_000.5)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(1, 5), st.integers(1, 6)),
            st.tuples(st.just("remove"), st.integers(1, 5), st.integers(1, 6)),
            st.tuples(st.just("serve"), st.just(0), st.integers(1, 9)),
        ),
        max_size=40,
    )
)
def test_what_is_told_of_the_machine_that_serves_all_does_not_depend_on_who_asked_before(
    steps: list[tuple[str, int, int]],
) -> None:
    asked, silent = Fluid(), Fluid()
    for verb, user, amount in steps:
        for fluid in (asked, silent):
            if verb == "serve":
                fluid.serve(amount)
            else:
                getattr(fluid, verb)(user, amount)
        for until in (asked.time, asked.time + 1.5, asked.time + 20):
            assert asked.work_until(until) == pytest.approx(silent.copy().work_until(until))
    assert asked.time == silent.time
