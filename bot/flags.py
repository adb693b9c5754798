"""What a person typed → a `Request`. Pure, and linear in the length of the text.

The grammar: words, and among them flags (`--ar 3:2`, `--ar=3:2`, `—ar 3:2`) wherever they please. A flag takes the next
word, or a "quoted phrase"; `--no` takes all words up to the next flag. `<lora:name:0.8>` is another way to write
`--lora name:0.8`. Two dashes followed by a space are prose.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from bot.flag_table import Flag, flag_table
from bot.flag_values import BROKEN_LORA_TAG, FLAG, QUOTES, quoted
from generation.job import Priority
from generation.recipe import MAX_LORAS, LoraUse

SHOWN_LENGTH = 60  # of a wrong value, in characters

_LORA_TAG = re.compile(r"<lora:([^<>]*)>", re.IGNORECASE)
# Control characters (databases refuse NUL) and halves of surrogate pairs (no encoding takes them).
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a person asked for. None where they left it to the server.

    `style` is a name or `raw` (none at all); names are not looked up yet. Texts have single spaces and no flags. `stop`
    is in percent of the steps; `repeat` is the number of jobs that this shall make, each with a seed of its own.
    `priority` says whether it is paid for and when it is drawn, `spoiler` how it is shown.
    """

    prompt: str
    aspect: Fraction | None = None
    seed: int | None = None
    style: str | None = None
    stylize: int | None = None
    model: str | None = None
    negative_prompt: str | None = None
    loras: tuple[LoraUse, ...] = ()
    count: int | None = None
    chaos: int | None = None
    weird: int | None = None
    steps: int | None = None
    quality: float | None = None
    guidance_scale: float | None = None
    sampler: str | None = None
    draft: bool = False
    strength: float | None = None
    hires: float | None = None
    refine: float | None = None
    stop: int | None = None
    tile: bool = False
    repeat: int | None = None
    priority: Priority | None = None
    spoiler: bool = False


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

    def parse(self, text: str, options: Mapping[str, object] | None = None, *, wordless: bool = False) -> Request:
        """Read a prompt with its flags.

        `options` are the values of slash options by name (`Flag.option` of the table); None is the same as not given.
        `wordless` tells whether flags alone are enough, because there is a picture to start from.
        Raises a leaf of `RequestRejected`, and nothing else.
        """
        found = _Found()
        words = self._take_lora_tags(_UNPRINTABLE.sub(" ", text), found).split()
        prompt = self._take_flags(words, found)
        for option, value in (options or {}).items():
            if value is not None:
                self._take_option(option, value, found)
        if not prompt and not wordless:
            raise PromptEmpty
        if len(prompt) > self._max_prompt_length:
            raise PromptTooLong(length=len(prompt), limit=self._max_prompt_length)
        return Request(prompt=prompt, **found.values)

    def to_text(self, request: Request) -> str:
        """One line that `parse` reads as the same request (as a wordless one, where it has no words)."""
        parts, written = [request.prompt] if request.prompt else [], set[str]()
        for flag in self.flags:
            value = getattr(request, flag.field)
            if flag.field in written or value is None or value is False:  # `--raw` is written as `--style raw`
                continue
            if flag.constant is not None and value != flag.constant:  # `--fast` is not how `--relax` is written
                continue
            written.add(flag.field)
            if flag.constant is not None:
                parts.append(f"--{flag.name}")
                continue
            for single in value if flag.repeatable else (value,):
                text = flag.write(single)
                parts.append(f"--{flag.name} {text if flag.words else quoted(text)}")
        return " ".join(parts)

    def _take_lora_tags(self, text: str, found: _Found) -> str:
        lora = self._by_name["lora"]

        def take(tag: re.Match[str]) -> str:
            self._fill(lora, " ".join(tag[1].split()), "<lora:…>", found)
            return " "

        text = _LORA_TAG.sub(take, text)
        if broken := BROKEN_LORA_TAG.search(text):
            raise FlagValueInvalid(flag="<lora:…>", value=_shown(broken[0]), allowed=lora.allowed)
        return text

    def _take_flags(self, words: Sequence[str], found: _Found) -> str:
        """Fill in the flags among the words; what is left is the prompt."""
        prompt: list[str] = []
        at = 0
        while at < len(words):
            word, at = words[at], at + 1
            match = FLAG.fullmatch(word)
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
                self._put(flag, flag.constant, f"--{name}", found)
                continue
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
        try:
            value = flag.read(text)
        except ValueError as error:
            raise FlagValueInvalid(flag=given_as, value=_shown(text), allowed=flag.allowed) from error
        self._put(flag, value, given_as, found)

    def _put(self, flag: Flag, value: Any, given_as: str, found: _Found) -> None:
        if flag.field in found.given and not flag.repeatable:
            raise FlagRepeated(flag=given_as, first=found.given[flag.field])
        if flag.repeatable:
            value = _with_lora(found.values.get(flag.field, ()), value, given_as)
        found.values[flag.field] = value
        found.given[flag.field] = given_as


def _value(flag: Flag, inline: str | None, words: Sequence[str], at: int) -> tuple[str, int]:
    """The text of a flag's value ('' if it is missing) and the index of the word after it."""
    value = [inline] if inline is not None else []
    if flag.words:
        while at < len(words) and not FLAG.fullmatch(words[at]):
            value.append(words[at])
            at += 1
        return " ".join(value).strip(), at
    if inline is None and at < len(words) and not FLAG.fullmatch(words[at]):
        value.append(words[at])
        at += 1
    if not value or not value[0].startswith(QUOTES):
        return "".join(value), at
    while not value[-1][len(value) == 1 :].endswith(QUOTES):  # the first word's first quote opens
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


def _shown(text: str) -> str:
    return text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + "…"
