"""Generation parameters as AUTOMATIC1111's WebUI writes them into picture files, read back.

The text: the prompt (any number of lines), `Negative prompt: …`, and a last line of `Key: value` pairs between commas,
which begins with `Steps: `; values that hold a separator themselves are JSON strings. Other tools write it too, so what
is read here is shown to people and decides nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

_NEGATIVE = "Negative prompt:"
_SETTINGS = "Steps: "
# Names are short: a bound on them keeps the search linear.
_PAIR = re.compile(r'([\w \-/]{1,60}): ?("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What the text tells: prompts, and the settings by their names in the WebUI ("Steps", "Sampler", "Seed", …)."""

    prompt: str
    negative_prompt: str
    settings: Mapping[str, str]


def parse_parameters(text: str) -> Parameters | None:
    """None where the text has no line of settings: then it is no such text. Raises nothing."""
    lines = text.strip().splitlines()
    if not lines or not lines[-1].startswith(_SETTINGS):
        return None
    settings = {match[1].strip(): _unquoted(match[2].strip()) for match in _PAIR.finditer(lines[-1])}
    negative_at = next((index for index, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines) - 1)
    negative = "\n".join(lines[negative_at:-1]).removeprefix(_NEGATIVE)
    return Parameters(
        prompt="\n".join(lines[:negative_at]).strip(), negative_prompt=negative.strip(), settings=settings
    )


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
