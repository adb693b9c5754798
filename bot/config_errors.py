"""What can be wrong with the settings, said as which key, which value and what is allowed.

LimnerError
└── ConfigInvalid              a key has a value that it cannot have
    ├── ConfigKeyMissing       a key has no default and was not given
    ├── ConfigKeyUnknown       there is no such key
    └── ConfigUnreadable       the file is not there, or is no TOML
"""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from generation.errors import LimnerError

PREFIX = "LIMNER_"
TABLE = "a table of keys"
_PASSWORD = re.compile(r"://[^@\s]*@")
SHOWN_LENGTH = 100  # of a wrong value, in characters: the sentence stays one line


class ConfigInvalid(LimnerError):
    """A key has a value that it cannot have. Fields: `place` (file or variable), `key`, `value`, `allowed`."""

    key = "config_invalid"


class ConfigKeyMissing(ConfigInvalid):
    """A key has no default and was not given. Fields: `place`, `key`, `allowed`."""

    key = "config_key_missing"


class ConfigKeyUnknown(ConfigInvalid):
    """There is no such key. Fields: `place`, `key`, `nearest` (or '')."""

    key = "config_key_unknown"


class ConfigUnreadable(ConfigInvalid):
    """The file cannot be read, or is no TOML. Fields: `place`, `detail`."""

    key = "config_unreadable"


@dataclass(frozen=True, slots=True)
class Takes:
    """Put beside a field's type where the type alone does not tell what the key takes."""

    text: str


def allowed_values(field: FieldInfo) -> str:
    """What a key takes, for error messages and docs: `1 to 60`, `full, medium or low`, …"""
    for rule in field.metadata:
        if isinstance(rule, Takes):
            return rule.text
    if field.annotation is bool:
        return "true or false"
    if get_origin(field.annotation) is dict:
        return TABLE
    choices = get_args(field.annotation)
    if choices and all(isinstance(choice, str) for choice in choices):
        return f"{', '.join(choices[:-1])} or {choices[-1]}"
    bounds = {name: getattr(rule, name) for rule in field.metadata for name in ("ge", "le") if hasattr(rule, name)}
    if bounds:
        return f"{bounds['ge']} to {bounds['le']}"
    return "a path" if field.annotation is Path else "text"


def rejected(error: ValidationError, root: type[BaseModel], path: Path) -> ConfigInvalid:
    """The first thing that pydantic found, as the error that names key, value and what is allowed."""
    details = error.errors(include_url=False)[0]
    location = tuple(str(part) for part in details["loc"])
    if details["type"] == "extra_forbidden":
        return unknown_key(location, root, path)
    keys, field, _ = _find(root, location)
    allowed = allowed_values(field) if field is not None else TABLE
    if details["type"] == "missing":
        return ConfigKeyMissing(place=place(keys, path), key=".".join(keys), allowed=allowed)
    return ConfigInvalid(place=place(keys, path), key=".".join(keys), value=shown(details["input"]), allowed=allowed)


def unknown_key(location: tuple[str, ...], root: type[BaseModel], path: Path, *, source: str = "") -> ConfigKeyUnknown:
    """The error for a key that its section does not have, with the most similar one that there is."""
    _, _, section = _find(root, location[:-1])
    known = section.model_fields if section is not None else {}
    nearest = difflib.get_close_matches(location[-1], known, n=1)
    return ConfigKeyUnknown(
        place=source or place(location, path),
        key=shown(".".join(location)),
        nearest=".".join((*location[:-1], nearest[0])) if nearest else "",
    )


def place(keys: tuple[str, ...], path: Path) -> str:
    """Where the value of a key came from: its environment variable if that is set, else the file."""
    variable = PREFIX + "__".join(keys).upper()
    return next((name for name in os.environ if name.upper() == variable), str(path))


def shown(value: object) -> str:
    """A value as it can stand in a sentence: on one line, not endless, without the password of an address."""
    text = _PASSWORD.sub("://…@", " ".join(str(value).split()))
    return text if len(text) <= SHOWN_LENGTH else text[:SHOWN_LENGTH] + "…"


def _find(
    root: type[BaseModel], location: tuple[str, ...]
) -> tuple[tuple[str, ...], FieldInfo | None, type[BaseModel] | None]:
    """Follow a location as far as keys go: (the keys, the field there or None, the section there or None)."""
    section: type[BaseModel] | None = root
    keys: list[str] = []
    field: FieldInfo | None = None
    for part in location:
        if section is None:
            named = get_args(field.annotation) if field is not None else ()
            if len(named) != 2 or named[0] is not str:  # inside a list: the key is the list's own
                break
            section, field = named[1], None  # [models.<name>]
        else:
            field = section.model_fields.get(part)
            kind = field.annotation if field is not None else None
            section = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
            field = None if section is not None else field
        keys.append(part)
    return tuple(keys), field, section
