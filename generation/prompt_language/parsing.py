"""Text → tree. Linear in the length of the text; raises only the errors beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from generation.prompt_language.errors import (
    PartsInBrackets,
    PartWeightInvalid,
    PartWithoutWords,
    WeightInSquareBrackets,
    WordWeightInvalid,
)
from generation.prompt_language.tree import (
    MAX_PART_WEIGHT,
    MAX_WORD_WEIGHT,
    MIN_PART_WEIGHT,
    MIN_WORD_WEIGHT,
    Fragment,
    Part,
    Prompt,
)

# What brackets without a number do to the weight of what they hold (A1111's factor).
EMPHASIS = 1.1
ESCAPABLE = "()[]:{},\\"

Bracket: TypeAlias = Literal["(", ")", "[", "]"]
_OPENING: dict[str, str] = {")": "(", "]": "["}

_TOKEN = re.compile(r"\\([()\[\]:{},\\])|(::)|([()\[\]:])|(\\|[^\\()\[\]:]++)")
_NUMBER = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)")
_NUMBER_LIKE = re.compile(r"[-+.,%0-9]++")
_AFTER_NUMBER = re.compile(r"[\s,]|::|$")
SHOWN_LENGTH = 30  # of a wrong weight, in characters


@dataclass(slots=True)
class _Token:
    """A piece of the text. `kind` is "text", a bracket that has its other half, ":", or "::" with its weight."""

    kind: str
    text: str
    weight: float | None = None


def parse(text: str) -> Prompt:
    """Read a prompt, or a negative prompt. Every text is one, unless a leaf of `RequestRejected` says why not.

    Raises `WordWeightInvalid`, `WeightInSquareBrackets`, `PartWeightInvalid`, `PartWithoutWords`, `PartsInBrackets`,
    `PartsOutweighed`, `TooManyParts` or `TooManyWeights`.
    """
    tokens = _tokens(text)
    _take_brackets_as_text(tokens, _lone_brackets(tokens))
    weights = _weights_of_brackets(tokens)

    parts: list[Part] = []
    fragments: list[Fragment] = []
    nesting: list[float] = [1.0]  # the weight within each open bracket, outermost first
    for index, token in enumerate(tokens):
        if token.kind in ("(", "["):
            nesting.append(nesting[-1] * weights[index])
        elif token.kind in (")", "]"):
            nesting.pop()
        elif token.kind == "::":
            if len(nesting) > 1:
                raise PartsInBrackets
            if token.weight is not None and not any(fragment.text.strip() for fragment in fragments):
                raise PartWithoutWords(weight=token.text)
            parts.append(Part(fragments=tuple(fragments), weight=1.0 if token.weight is None else token.weight))
            fragments = []
        elif token.text:
            fragments.append(Fragment(text=token.text, weight=nesting[-1]))
    return Prompt.of([*parts, Part(fragments=tuple(fragments))])


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while match := _TOKEN.match(text, at):
        at = match.end()
        escaped, parted, mark, words = match.groups()
        if parted:
            number, weight = _part_weight(text, at)
            tokens.append(_Token("::", number, weight))
            at += len(number)
        elif mark:
            tokens.append(_Token(mark, mark))
        else:
            tokens.append(_Token("text", escaped or words))
    return tokens


def _part_weight(text: str, at: int) -> tuple[str, float | None]:
    """The number that stands right after a `::` ('' for none), and the weight that it says.

    `a::3d boat` has none: a number ends at a space, a comma, another `::` or the end of the text.
    """
    like = _NUMBER_LIKE.match(text, at)
    number = like[0].rstrip(",") if like else ""
    if not _has_digit(number) or not _AFTER_NUMBER.match(text, at + len(number)):
        return "", None
    if not _NUMBER.fullmatch(number):
        raise PartWeightInvalid(weight=number[:SHOWN_LENGTH], allowed=f"{MIN_PART_WEIGHT} … {MAX_PART_WEIGHT}")
    return number, float(number)


def _lone_brackets(tokens: list[_Token]) -> set[int]:
    """The brackets without another half, as in prose: `:)`. Where two kinds cross, the inner one is alone."""
    lone: set[int] = set()
    opened: list[int] = []
    waiting = {"(": 0, "[": 0}  # how many of each kind are open, so that looking for one is no search
    for index, token in enumerate(tokens):
        if token.kind in waiting:
            opened.append(index)
            waiting[token.kind] += 1
        elif token.kind in _OPENING:
            wanted = _OPENING[token.kind]
            if not waiting[wanted]:
                lone.add(index)
                continue
            while tokens[opened[-1]].kind != wanted:
                lone.add(opened.pop())
                waiting["[" if wanted == "(" else "("] -= 1
            opened.pop()
            waiting[wanted] -= 1
    return lone.union(opened)


def _take_brackets_as_text(tokens: list[_Token], brackets: set[int]) -> None:
    for index in brackets:
        tokens[index].kind = "text"


def _weights_of_brackets(tokens: list[_Token]) -> dict[int, float]:
    """What each opening bracket (by its place) does to the weight within; takes the typed numbers out of the tokens."""
    weights: dict[int, float] = {}
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind in ("(", "["):
            opened.append(index)
        elif token.kind in (")", "]"):
            typed = _typed_weight(tokens, index)
            if typed is not None and token.kind == "]":
                raise WeightInSquareBrackets(weight=typed)
            if typed is not None:
                tokens[index - 2] = tokens[index - 1] = _Token("text", "")
            opening = opened.pop()
            emphasis = EMPHASIS if token.kind == ")" else 1 / EMPHASIS
            weights[opening] = emphasis if typed is None else float(typed)
    return weights


def _typed_weight(tokens: list[_Token], closing: int) -> str | None:
    """The number between a colon and this closing bracket, or None.

    Anything else there is words (`(note: a boat)`), except what is only digits and signs and yet no number.
    """
    if closing < 2 or tokens[closing - 2].kind != ":" or tokens[closing - 1].kind != "text":
        return None
    typed = tokens[closing - 1].text.strip()
    if not _NUMBER_LIKE.fullmatch(typed) or not _has_digit(typed):
        return None
    if not _NUMBER.fullmatch(typed):
        raise WordWeightInvalid(weight=typed[:SHOWN_LENGTH], allowed=f"{MIN_WORD_WEIGHT} … {MAX_WORD_WEIGHT}")
    return typed


def _has_digit(text: str) -> bool:
    return any(character.isdecimal() for character in text)
