"""The tree that a prompt is read into: parts with weights, and in them fragments of words with weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal

from generation.prompt_language.errors import (
    PartsOutweighed,
    PartWeightInvalid,
    TooManyParts,
    TooManyWeights,
    WordWeightInvalid,
)

# Words of weight 0 are as good as not there, so less would say nothing more (`::-0.5` and `--no` do). Beyond 3 every
# SDXL model draws noise; they are fine up to about 1.5.
MIN_WORD_WEIGHT, MAX_WORD_WEIGHT = 0, 3
# Only the proportions of parts count, so this is to stop slips of the pen.
MIN_PART_WEIGHT, MAX_PART_WEIGHT = -100, 100
# Each part, and each different weight below 1, is a run of the text encoders.
MAX_PARTS = 20
MAX_WEIGHTS = 20
DECIMALS = 4  # of a weight; finer ones make no difference that could be seen

_SPECIAL = re.compile(r"[()\[\]{}\\]")
_NEIGHBOURING_COLONS = re.compile(r"::+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """Words of one weight, 0 to 3. `text` is what the text encoders read, without escapes.

    Raises `WordWeightInvalid`.
    """

    text: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not MIN_WORD_WEIGHT <= self.weight <= MAX_WORD_WEIGHT:
            raise WordWeightInvalid(weight=f"{self.weight:g}", allowed=f"{MIN_WORD_WEIGHT} … {MAX_WORD_WEIGHT}")
        object.__setattr__(self, "weight", round(float(self.weight), DECIMALS) + 0.0)

    def to_text(self) -> str:
        """As it is typed; parentheses with a number unless the weight is 1."""
        text = escape(self.text)
        if self.weight == 1:
            return text
        return f"({_closed(text)}:{weight_text(self.weight)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of a multi-prompt's parts, or all of a plain prompt. Its weight is −100 to 100.

    Raises `PartWeightInvalid`.
    """

    fragments: tuple[Fragment, ...]
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not MIN_PART_WEIGHT <= self.weight <= MAX_PART_WEIGHT:
            raise PartWeightInvalid(weight=f"{self.weight:g}", allowed=f"{MIN_PART_WEIGHT} … {MAX_PART_WEIGHT}")
        object.__setattr__(self, "weight", round(float(self.weight), DECIMALS) + 0.0)

    @property
    def text(self) -> str:
        """Its words alone."""
        return "".join(fragment.text for fragment in self.fragments)

    def to_text(self) -> str:
        """As it is typed, without its own weight."""
        return "".join(fragment.to_text() for fragment in self.fragments)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A prompt, or a negative prompt: the parts that are blended, in order; none at all for an empty one.

    Raises `PartsOutweighed` when the weights of its parts come to 0 or less, `TooManyParts` for more than 20, and
    `TooManyWeights` for more than 20 different ones of words.
    """

    parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        if len(self.parts) > MAX_PARTS:
            raise TooManyParts(limit=MAX_PARTS)
        if len({fragment.weight for part in self.parts for fragment in part.fragments} - {1.0}) > MAX_WEIGHTS:
            raise TooManyWeights(limit=MAX_WEIGHTS)
        total = round(sum(part.weight for part in self.parts), DECIMALS)
        if self.parts and total <= 0:
            raise PartsOutweighed(total=f"{total:g}")

    @classmethod
    def of(cls, parts: Iterable[Part]) -> Prompt:
        """The prompt of these parts in its one canonical form.

        Without the space around parts, fragments of equal weight joined, parts without words left out; a part that is
        alone has weight 1. Raises what making one raises.
        """
        tidied = (replace(part, fragments=tuple(_tidied(part.fragments))) for part in parts)
        prompt = cls(parts=tuple(part for part in tidied if part.fragments))
        return cls(parts=(replace(prompt.parts[0], weight=1),)) if len(prompt.parts) == 1 else prompt

    @property
    def text(self) -> str:
        """Its words alone, parts separated by spaces."""
        return " ".join(part.text for part in self.parts)

    def to_text(self) -> str:
        """The prompt as it is typed, in canonical form: `parse` reads it as the same tree."""
        if not self.parts:
            return ""
        *others, last = self.parts
        texts = [f"{_closed(part.to_text())}::{weight_text(part.weight, one='')}" for part in others]
        ending = last.to_text() if last.weight == 1 else f"{_closed(last.to_text())}::{weight_text(last.weight)}"
        return " ".join([*texts, ending])


def escape(text: str) -> str:
    """Words as they are typed so that nothing in them is syntax; words without syntax are returned as they are."""
    text = _SPECIAL.sub(r"\\\g<0>", text)
    return _NEIGHBOURING_COLONS.sub(lambda colons: r"\:" * len(colons[0]), text)


def weight_text(weight: float, *, one: str = "1") -> str:
    """A weight in the fewest digits, never with an exponent; `one` for 1."""
    if weight == 1:
        return one
    return format(Decimal(repr(float(weight))), "f").removesuffix(".0")


def _closed(text: str) -> str:
    """Text that a colon can follow: one at its own end is escaped, so that the two do not run together."""
    if not text.endswith(":"):
        return text
    before = text[:-1]
    is_escaped = (len(before) - len(before.rstrip("\\"))) % 2
    return text if is_escaped else f"{before}\\:"


def _tidied(fragments: Iterable[Fragment]) -> Iterator[Fragment]:
    joined: list[Fragment] = []
    texts: list[list[str]] = []
    for fragment in fragments:
        if not fragment.text:
            continue
        if joined and joined[-1].weight == fragment.weight:
            texts[-1].append(fragment.text)
        else:
            joined.append(fragment)
            texts.append([fragment.text])
    whole = ["".join(pieces) for pieces in texts]
    first = next((index for index, text in enumerate(whole) if text.strip()), len(whole))
    last = next((index for index in reversed(range(len(whole))) if whole[index].strip()), -1)
    for index in range(first, last + 1):
        text = whole[index]
        text = text.lstrip() if index == first else text
        text = text.rstrip() if index == last else text
        yield replace(joined[index], text=text)
