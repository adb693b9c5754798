"""Named styles: `styles.toml`, read strictly, so that a slip of the pen stops the start and not somebody's picture."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generation.catalogue import Style
from generation.errors import InvalidRecipe, LimnerError
from generation.recipe import MAX_LORAS, LoraUse

PLACEHOLDER = "{prompt}"
RESERVED = frozenset({"raw"})  # `--style raw` is no style at all
MAX_TEXT_LENGTH = 500  # of a template or a negative prompt: SDXL reads 77 tokens
MAX_DESCRIPTION_LENGTH = 80  # fits beside the name in Discord's list of choices
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_KEYS: Mapping[str, type] = {
    "template": str,
    "negative_prompt": str,
    "description": str,
    "pocket": bool,
    "loras": dict,
}


class StylesInvalid(LimnerError):
    """A file of styles has a mistake. Fields: `path`, `name` (of the style, or ''), `reason`."""

    key = "styles_invalid"


def load_styles(path: Path) -> dict[str, Style]:
    """Read all styles of a file by name, in its order. Raises `StylesInvalid`."""
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StylesInvalid(path=str(path), name="", reason=str(error)) from error
    return {name: _read_style(path, name, table) for name, table in tables.items()}


def _read_style(path: Path, name: str, table: Any) -> Style:
    def invalid(reason: str) -> StylesInvalid:
        return StylesInvalid(path=str(path), name=name, reason=reason)

    if not _NAME.fullmatch(name) or name in RESERVED:
        raise invalid("a name has letters (a to z), digits and single hyphens, and is not raw")
    if not isinstance(table, dict):
        raise invalid("a style is a table of keys")
    for key, value in table.items():
        if key not in _KEYS:
            raise invalid(f"there is no key {key}; the keys are {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]):
            raise invalid(f"{key} has the wrong type")
    template = table.get("template", "")
    if template.count(PLACEHOLDER) != 1 or template.count("{") != 1 or template.count("}") != 1:
        raise invalid(f"template must hold {PLACEHOLDER} once, and no other braces")
    if max(len(template), len(table.get("negative_prompt", ""))) > MAX_TEXT_LENGTH:
        raise invalid(f"template and negative_prompt have up to {MAX_TEXT_LENGTH} characters")
    if not 0 < len(table.get("description", "")) <= MAX_DESCRIPTION_LENGTH:
        raise invalid(f"description has 1 to {MAX_DESCRIPTION_LENGTH} characters")
    try:
        loras = tuple(LoraUse(name=lora, weight=weight) for lora, weight in table.get("loras", {}).items())
    except InvalidRecipe as error:
        raise invalid("a LoRA's weight is a number from -2 to 2") from error
    if len(loras) > MAX_LORAS:
        raise invalid(f"a style has up to {MAX_LORAS} LoRAs")
    return Style(
        name=name,
        template=template,
        negative_prompt=table.get("negative_prompt", ""),
        loras=loras,
        description=table["description"],
        pocket=table.get("pocket", False),
    )
