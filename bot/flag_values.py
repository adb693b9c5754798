"""What the values of flags look like: readers, which raise ValueError for all else, and writers, their inverses."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from decimal import Decimal
from fractions import Fraction

from generation.aspect import parse_aspect
from generation.errors import InvalidAspect
from generation.recipe import LoraUse
from generation.samplers import SAMPLER_NAMES

RAW = "raw"  # the style that is none
# What menus and autocompletion offer; any other ratio may be typed.
USUAL_ASPECTS = ("1:1", "3:2", "2:3", "4:3", "3:4", "16:9", "9:16", "21:9", "9:21", "2:1", "1:2")

# Two dashes, or one of the long ones that phones make of two; more of them mean the same.
FLAG = re.compile(r"(?:[—–][-—–]*|-[-—–]+)([^\s=—–-][^\s=]*)(?:=(.*))?", re.DOTALL)
BROKEN_LORA_TAG = re.compile(r"<lora:\S*", re.IGNORECASE)
QUOTES = ('"', "“", "”", "„", "«", "»")
_WHOLE = re.compile(r"[0-9]{1,12}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,6}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})")


def read_aspect(text: str) -> Fraction:
    try:
        return parse_aspect(text)
    except InvalidAspect as error:
        raise ValueError(text) from error


def write_aspect(ratio: Fraction) -> str:
    return f"{ratio.numerator}:{ratio.denominator}"


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    return read


def number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not _NUMBER.fullmatch(text) or not low <= float(text) <= high:
            raise ValueError(text)
        return float(text) + 0.0  # -0 becomes 0

    return read


def number_of(allowed: Collection[float]) -> Callable[[str], float]:
    """One of a few numbers, in any spelling: `.5`, `0.50`."""

    def read(text: str) -> float:
        if not _NUMBER.fullmatch(text) or float(text) not in allowed:
            raise ValueError(text)
        return float(text)

    return read


def read_sampler(text: str) -> str:
    """A sampler by our name or the WebUI's: `dpmpp_2m_karras`, `DPM++ 2M Karras`."""
    name = re.sub(r"[-\s]+", "_", text.strip().lower().replace("++", "pp"))
    if name not in SAMPLER_NAMES:
        raise ValueError(text)
    return name


def read_name(text: str) -> str:
    if not text or any(character in text for character in (*QUOTES, *"<>:`")):
        raise ValueError(text)
    return text


def read_style(text: str) -> str:
    name = read_name(text)
    return RAW if name.lower() == RAW else name


def read_lora(text: str) -> LoraUse:
    name, colon, weight = text.partition(":")
    return LoraUse(name=read_name(name.strip()), weight=number(-2, 2)(weight.strip()) if colon else 1.0)


def write_lora(lora: LoraUse) -> str:
    return lora.name if lora.weight == 1 else f"{lora.name}:{plain(lora.weight)}"


def plain(value: float) -> str:
    """A number without an exponent and without a trailing `.0`, which reads back as the same number."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def text_up_to(length: int) -> Callable[[str], str]:
    """Words among which there is no flag."""

    def read(text: str) -> str:
        flags = any(FLAG.fullmatch(word) for word in text.split()) or BROKEN_LORA_TAG.search(text)
        if not text or len(text) > length or flags:
            raise ValueError(text)
        return text

    return read


def quoted(text: str) -> str:
    """A value as one word, or as a phrase in quotes where it would be read as several."""
    return f'"{text}"' if " " in text or FLAG.fullmatch(text) else text
