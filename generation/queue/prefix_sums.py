"""Numbers in order, and how many of them, and how much, lie below any bound."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable
from itertools import accumulate

BLOCK = 512  # numbers: to insert one moves half of them on average, and their sum is taken anew


class PrefixSums:
    """A sorted multiset in blocks, each with its own sum: every verb takes about the square root of its size.

    A block's sum is taken of its numbers whenever they change, so that no rounding builds up.
    """

    def __init__(self, numbers: Iterable[float] = ()) -> None:
        ordered = sorted(numbers)
        self._blocks = [ordered[start : start + BLOCK] for start in range(0, len(ordered), BLOCK)]
        self._sums = [sum(block) for block in self._blocks]
        self._ends = [block[-1] for block in self._blocks]
        self._before: tuple[list[int], list[float]] | None = None  # how many, and how much, in front of each block

    def add(self, number: float) -> None:
        """One more."""
        if not self._blocks:
            self._blocks, self._sums, self._ends = [[]], [0.0], [number]
        place = min(bisect_left(self._ends, number), len(self._blocks) - 1)
        block = self._blocks[place]
        insort(block, number)
        if len(block) > 2 * BLOCK:
            self._blocks[place : place + 1] = [block[:BLOCK], block[BLOCK:]]
            self._sums.insert(place, 0.0)
            self._ends.insert(place, 0.0)
            self._changed(place + 1)
        self._changed(place)

    def remove(self, number: float) -> None:
        """One less of those equal to it, of which there is at least one."""
        place = bisect_left(self._ends, number)
        block = self._blocks[place]
        del block[bisect_left(block, number)]
        if block:
            self._changed(place)
        else:
            del self._blocks[place], self._sums[place], self._ends[place]
            self._before = None

    def until(self, bound: float) -> tuple[int, float]:
        """How many are at most `bound`, and their sum."""
        if self._before is None:
            self._before = (
                [0, *accumulate(len(block) for block in self._blocks)],
                [0.0, *accumulate(self._sums)],
            )
        counts, sums = self._before
        # Equal numbers may fill several blocks: all that end at the bound lie below it.
        place = bisect_right(self._ends, bound)
        if place == len(self._blocks):
            return counts[place], sums[place]
        block = self._blocks[place]
        less = bisect_right(block, bound)
        return counts[place] + less, sums[place] + sum(block[:less])

    def _changed(self, place: int) -> None:
        block = self._blocks[place]
        self._sums[place] = sum(block)
        self._ends[place] = block[-1]
        self._before = None
