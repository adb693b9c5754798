"""Permutations: `{red, blue} boat` → `red boat`, `blue boat`. For the whole text that was typed, flags included."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias

from generation.prompt_language.errors import BracesTooDeep, BracesUnbalanced, TooManyPermutations

MAX_PERMUTATIONS = 40
MAX_DEPTH = 8  # of braces in braces; nobody reads more
# Beyond this many the exact number is of no interest, and it could have thousands of digits.
MAX_COUNTED = 1_000_000
SHOWN_LENGTH = 30  # of the place of a mistake, in characters

_TOKEN = re.compile(r"\\.|[{},]|\\|[^\\{},]++", re.DOTALL)


@dataclass(slots=True)
class _Choice:
    """A pair of braces: its options, each a sequence of texts and of further choices."""

    options: list[_Sequence] = field(default_factory=lambda: [[]])


_Sequence: TypeAlias = "list[str | _Choice]"


def expand(text: str, limit: int = MAX_PERMUTATIONS) -> list[str]:
    """All texts that the braces in this one stand for, the last braces changing fastest; without braces, it alone.

    Commas separate options, spaces around an option do not count, and an option may be empty. Escapes (`\\{`, `\\}`,
    `\\,`) are kept as they were typed, so that a text that came out of here is not expanded again. They are counted
    before any is made. Raises `BracesUnbalanced`, `BracesTooDeep` or `TooManyPermutations`.
    """
    sequence = _read(text)
    count = _count(sequence)
    if count > limit:
        raise TooManyPermutations(count=str(count) if count < MAX_COUNTED else f"> {MAX_COUNTED}", limit=limit)
    return ["".join(pieces) for pieces in _combinations(sequence)]


def _read(text: str) -> _Sequence:
    whole: _Sequence = []
    opened: list[tuple[int, _Choice]] = []  # where each open brace stands
    current = whole
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == "{":
            if len(opened) == MAX_DEPTH:
                raise BracesTooDeep(limit=MAX_DEPTH)
            choice = _Choice()
            current.append(choice)
            opened.append((match.start(), choice))
            current = choice.options[0]
        elif token == "}":
            if not opened:
                raise _unbalanced(text, match.start())
            opened.pop()
            current = opened[-1][1].options[-1] if opened else whole
        elif token == "," and opened:
            current = []
            opened[-1][1].options.append(current)
        else:
            current.append(token)
    if opened:
        raise _unbalanced(text, opened[-1][0])
    return whole


def _count(sequence: _Sequence) -> int:
    """How many texts a sequence stands for, up to `MAX_COUNTED`."""
    count = 1
    for piece in sequence:
        if isinstance(piece, _Choice):
            count = min(MAX_COUNTED, count * sum(_count(option) for option in piece.options))
    return count


def _combinations(sequence: _Sequence) -> list[list[str]]:
    combinations: list[list[str]] = [[]]
    for piece in sequence:
        if isinstance(piece, str):
            choices = [[piece]]
        else:
            choices = [["".join(pieces).strip()] for option in piece.options for pieces in _combinations(option)]
        if len(choices) == 1:  # no copies of what is there, so that many such pieces take no longer
            for pieces in combinations:
                pieces += choices[0]
        else:
            combinations = [pieces + choice for pieces in combinations for choice in choices]
    return combinations


def _unbalanced(text: str, at: int) -> BracesUnbalanced:
    return BracesUnbalanced(brace=text[at], place=text[at : at + SHOWN_LENGTH])
