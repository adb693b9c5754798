"""The keys of `config.toml` as a list, for the docs: what each takes, its default, and its comment in the file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from bot.config import PROGRAM_FOLDER, Config
from bot.config_errors import allowed_values
from bot.config_sections import ModelSection

SHIPPED = PROGRAM_FOLDER / "config.toml"
_TABLE = re.compile(r"\[([a-z0-9_.]+)\]")
_KEY = re.compile(r"([a-z0-9_]+) = (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigKey:
    """One key: `name` with its section, what it takes, its value in the shipped file (as TOML), what it is for."""

    name: str
    allowed: str
    default: str
    description: str


def list_keys(path: Path = SHIPPED) -> list[ConfigKey]:
    """All keys of the file in its order. Raises `KeyError` for one that no section has."""
    text = path.read_text(encoding="utf-8")
    tomllib.loads(text)  # what follows reads lines, so be sure of their grammar
    allowed = dict(_allowed_by_key())
    keys: list[ConfigKey] = []
    table, comment = "", []
    for line in text.splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
            continue
        if match := _TABLE.fullmatch(line):
            table = match[1]
        elif match := _KEY.fullmatch(line):
            name = f"{table}.{match[1]}"
            section = "models" if table.startswith("models.") else table
            keys.append(
                ConfigKey(
                    name=name,
                    allowed=allowed[f"{section}.{match[1]}"],
                    default=match[2],
                    description=" ".join(comment),
                )
            )
        comment = []
    return keys


def _allowed_by_key() -> Iterator[tuple[str, str]]:
    for name, field in Config.model_fields.items():
        kind = field.annotation
        section = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else ModelSection
        for key, info in section.model_fields.items():
            yield f"{name}.{key}", allowed_values(info)
