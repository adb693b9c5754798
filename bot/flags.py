"""What a person typed → a `Request`. Pure, and linear in the length of the text.

The grammar: words, and among them flags (`--ar 3:2`, `--ar=3:2`, `—ar 3:2`) wherever they please. A flag takes the next
word, or a "quoted phrase"; `--no` takes all words up to the next flag. `<lora:name:0.8>` is another way to write
`--lora name:0.8`. Two dashes followed by a space are prose.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import Any

from bot.flag_errors import (
    FlagAgainstOption,
    FlagRepeated,
    FlagTakesNoValue,
    FlagValueInvalid,
    FlagValueMissing,
    PromptEmpty,
    PromptTooLong,
    TooManyLoras,
    UnknownFlag,
)
from generation.aspect import parse_aspect
from generation.errors import InvalidAspect
from generation.recipe import MAX_LORAS, MAX_SEED, LoraUse

MAX_COUNT = 4
RAW = "raw"
SHOWN_LENGTH = 60  # of a wrong value, in characters

# Two dashes, or one of the long ones that phones make of two; more of them mean the same.
_FLAG = re.compile(r"(?:[—–][-—–]*|-[-—–]+)([^\s=—–-][^\s=]*)(?:=(.*))?", re.DOTALL)
_LORA_TAG = re.compile(r"<lora:([^<>]*)>", re.IGNORECASE)
_BROKEN_LORA_TAG = re.compile(r"<lora:\S*", re.IGNORECASE)
# Control characters (databases refuse NUL) and halves of surrogate pairs (no encoding takes them).
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_WHOLE = re.compile(r"[0-9]{1,12}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,6}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})")
_QUOTES = ('"', "“", "”", "„", "«", "»")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person asked for. None where they left it to the server.

    `style` is a name or `raw` (none at all); names are not looked up yet. Texts have single spaces and no flags.
    """

    prompt: str
    aspect: Fraction | None = None
    seed: int | None = None
    style: str | None = None
    negative_prompt: str | None = None
    loras: tuple[LoraUse, ...] = ()
    count: int | None = None
    steps: int | None = None
    guidance_scale: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One row of the table: how a flag is written, and what it fills.

    `field` is the field of `Request`; `option` the slash option that fills it too; `allowed` says what it takes,
    without words of any language. `read` raises ValueError for anything else, and `write` is its inverse. `words`: the
    value runs to the next flag. `constant`: takes no value and stands for this one. What it is for, in words, stands in
    the message catalogue under `flags`.
    """

    name: str
    field: str
    allowed: str
    example: str
    read: Callable[[str], Any] = str
    write: Callable[[Any], str] = str
    aliases: tuple[str, ...] = ()
    option: str = ""
    words: bool = False
    repeatable: bool = False
    constant: str | None = None


def flag_table(*, max_steps: int, max_text: int) -> tuple[Flag, ...]:
    """All flags, in the order in which help, docs and `to_text` show them."""
    return (
        Flag(
            name="ar", aliases=("aspect",), option="aspect", field="aspect", allowed="1:4 … 4:1", example="--ar 3:2",
            read=_read_aspect, write=lambda ratio: f"{ratio.numerator}:{ratio.denominator}",
        ),
        Flag(
            name="seed", option="seed", field="seed", allowed=f"0 … {MAX_SEED}", example="--seed 7",
            read=_whole_number(0, MAX_SEED),
        ),
        Flag(name="style", option="style", field="style", allowed="NAME, raw", example="--style ink", read=_read_name),
        Flag(name="raw", field="style", allowed="", example="--raw", constant=RAW),
        Flag(
            name="lora", option="lora", field="loras", allowed="NAME, NAME:WEIGHT (-2 … 2)", example="--lora neon:0.8",
            read=_read_lora, write=_write_lora, repeatable=True,
        ),
        Flag(
            name="n", option="count", field="count", allowed=f"1 … {MAX_COUNT}", example="--n 4",
            read=_whole_number(1, MAX_COUNT),
        ),
        Flag(
            name="steps", field="steps", allowed=f"1 … {max_steps}", example=f"--steps {min(30, max_steps)}",
            read=_whole_number(1, max_steps),
        ),
        Flag(
            name="cfg", field="guidance_scale", allowed="1 … 20", example="--cfg 5",
            read=_number(1, 20), write=_plain,
        ),
        Flag(
            name="no", aliases=("negative",), option="negative", field="negative_prompt",
            allowed=f"TEXT (≤ {max_text}, no --flags)", example="--no cars, people",
            read=_text_up_to(max_text), words=True,
        ),
    )  # fmt: skip


@dataclass(slots=True)
class _Found:
    """What was read so far. `given` tells by which flag or option each field was filled."""

    values: dict[str, Any] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)


class FlagParser:
    """Reads prompts under one server's limits."""

    def __init__(self, *, max_steps: int, max_prompt_length: int) -> None:
        self.flags = flag_table(max_steps=max_steps, max_text=max_prompt_length)
        self._max_prompt_length = max_prompt_length
        self._by_name = {name: flag for flag in self.flags for name in (flag.name, *flag.aliases)}
        self._by_option = {flag.option: flag for flag in self.flags if flag.option}

    def parse(self, text: str, options: Mapping[str, object] | None = None) -> Request:
        """Read a prompt with its flags.

        `options` are the values of slash options by name (aspect, seed, style, lora, count, negative); None is the same
        as not given. Raises a leaf of `RequestRejected`, and nothing else.
        """
        found = _Found()
        words = self._take_lora_tags(_UNPRINTABLE.sub(" ", text), found).split()
        prompt = self._take_flags(words, found)
        for option, value in (options or {}).items():
            if value is not None:
                self._take_option(option, value, found)
        if not prompt:
            raise PromptEmpty
        if len(prompt) > self._max_prompt_length:
            raise PromptTooLong(length=len(prompt), limit=self._max_prompt_length)
        return Request(prompt=prompt, **found.values)

    def to_text(self, request: Request) -> str:
        """One line that `parse` reads as the same request."""
        parts = [request.prompt]
        for flag in self.flags:
            value = getattr(request, flag.field)
            if flag.constant is not None or value is None:  # `--raw` is written as `--style raw`
                continue
            for single in value if flag.repeatable else (value,):
                written = flag.write(single)
                parts.append(f"--{flag.name} {written if flag.words else _quoted(written)}")
        return " ".join(parts)

    def _take_lora_tags(self, text: str, found: _Found) -> str:
        lora = self._by_name["lora"]

        def take(tag: re.Match[str]) -> str:
            self._fill(lora, " ".join(tag[1].split()), "<lora:…>", found)
            return " "

        text = _LORA_TAG.sub(take, text)
        if broken := _BROKEN_LORA_TAG.search(text):
            raise FlagValueInvalid(flag="<lora:…>", value=_shown(broken[0]), allowed=lora.allowed)
        return text

    def _take_flags(self, words: Sequence[str], found: _Found) -> str:
        """Fill in the flags among the words; what is left is the prompt."""
        prompt: list[str] = []
        at = 0
        while at < len(words):
            word, at = words[at], at + 1
            match = _FLAG.fullmatch(word)
            if match is None:
                prompt.append(word)
                continue
            name, inline = match[1].lower(), match[2]
            flag = self._by_name.get(name)
            if flag is None:
                nearest = difflib.get_close_matches(name[:SHOWN_LENGTH], self._by_name, n=1)
                raise UnknownFlag(flag=f"--{_shown(name)}", nearest=f"--{nearest[0]}" if nearest else "")
            if flag.constant is not None:
                if inline is not None:
                    raise FlagTakesNoValue(flag=f"--{name}", value=_shown(inline))
                value = flag.constant
            else:
                value, at = _value(flag, inline, words, at)
                if not value:
                    raise FlagValueMissing(flag=f"--{name}", example=flag.example)
            self._fill(flag, value, f"--{name}", found)
        return " ".join(prompt)

    def _take_option(self, option: str, value: object, found: _Found) -> None:
        flag = self._by_option[option]
        if flag.field in found.given:
            raise FlagAgainstOption(flag=found.given[flag.field], option=option)
        self._fill(flag, " ".join(_UNPRINTABLE.sub(" ", str(value)).split()), option, found)

    def _fill(self, flag: Flag, text: str, given_as: str, found: _Found) -> None:
        if flag.field in found.given and not flag.repeatable:
            raise FlagRepeated(flag=given_as, first=found.given[flag.field])
        try:
            value = flag.read(text)
        except ValueError as error:
            raise FlagValueInvalid(flag=given_as, value=_shown(text), allowed=flag.allowed) from error
        if flag.repeatable:
            value = _with_lora(found.values.get(flag.field, ()), value, given_as)
        found.values[flag.field] = value
        found.given[flag.field] = given_as


def _value(flag: Flag, inline: str | None, words: Sequence[str], at: int) -> tuple[str, int]:
    """The text of a flag's value ('' if it is missing) and the index of the word after it."""
    value = [inline] if inline is not None else []
    if flag.words:
        while at < len(words) and not _FLAG.fullmatch(words[at]):
            value.append(words[at])
            at += 1
        return " ".join(value).strip(), at
    if inline is None and at < len(words) and not _FLAG.fullmatch(words[at]):
        value.append(words[at])
        at += 1
    if not value or not value[0].startswith(_QUOTES):
        return "".join(value), at
    while not value[-1][len(value) == 1 :].endswith(_QUOTES):  # the first word's first quote opens
        if at == len(words):
            raise FlagValueInvalid(flag=f"--{flag.name}", value=_shown(" ".join(value)), allowed=flag.allowed)
        value.append(words[at])
        at += 1
    return " ".join(value)[1:-1].strip(), at


def _with_lora(loras: tuple[LoraUse, ...], new: LoraUse, given_as: str) -> tuple[LoraUse, ...]:
    if any(lora.name.lower() == new.name.lower() for lora in loras):
        raise FlagRepeated(flag=f"{given_as} {_shown(new.name)}", first=f"--lora {_shown(new.name)}")
    if len(loras) == MAX_LORAS:
        raise TooManyLoras(limit=MAX_LORAS)
    return (*loras, new)


def _read_aspect(text: str) -> Fraction:
    try:
        return parse_aspect(text)
    except InvalidAspect as error:
        raise ValueError(text) from error


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
            raise ValueError(text)
        return int(text)

    return read


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(text: str) -> float:
        if not _NUMBER.fullmatch(text) or not low <= float(text) <= high:
            raise ValueError(text)
        return float(text) + 0.0  # -0 becomes 0

    return read


def _read_name(text: str) -> str:
    if not text or any(character in text for character in (*_QUOTES, *"<>:`")):
        raise ValueError(text)
    return RAW if text.lower() == RAW else text


def _read_lora(text: str) -> LoraUse:
    name, colon, weight = text.partition(":")
    return LoraUse(name=_read_name(name.strip()), weight=_number(-2, 2)(weight.strip()) if colon else 1.0)


def _write_lora(lora: LoraUse) -> str:
    return lora.name if lora.weight == 1 else f"{lora.name}:{_plain(lora.weight)}"


def _plain(number: float) -> str:
    """A number without an exponent and without a trailing `.0`, which reads back as the same number."""
    return format(Decimal(repr(number)), "f").removesuffix(".0")


def _text_up_to(length: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        flags = any(_FLAG.fullmatch(word) for word in text.split()) or _BROKEN_LORA_TAG.search(text)
        if not text or len(text) > length or flags:
            raise ValueError(text)
        return text

    return read


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text or _FLAG.fullmatch(text) else text


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + "…"
