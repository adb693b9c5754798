"""Every sentence that people read: one TOML catalogue per language in `locales/`, chosen by the locale Discord sends.

A sentence has its placeholders in braces. Where the words depend on a number, the entry is a table with `one` and
`other`, chosen by the field `count`. Text that people typed stands in `code spans` only, and `quotable` makes it safe
there; what is shown elsewhere must be escaped by whoever sends it to Discord.
"""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FALLBACK = "en"
FOLDER = Path(__file__).parent / "locales"
QUOTED_LENGTH = 100  # of what people typed, in characters
PLURAL_FORMS = frozenset({"one", "other"})
# Control characters, and what else breaks a line (Unicode's categories Zl and Zp).
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# Embeddings, overrides and isolates of direction (UAX #9), and halves of surrogate pairs, which no encoding takes.
_UNSEEN = re.compile(r"[\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

Catalogue = Mapping[str, str | Mapping[str, str]]


class Messages:
    """Says things in people's languages. Immutable."""

    def __init__(self, catalogues: Mapping[str, Catalogue]) -> None:
        """`catalogues` maps a locale (`en`, `zh-CN`) to sentences by dotted key. English must be there."""
        self._catalogues = {locale.lower(): catalogue for locale, catalogue in catalogues.items()}
        self._fallback = self._catalogues[FALLBACK]

    @property
    def locales(self) -> tuple[str, ...]:
        """The languages that there are catalogues for, as Discord names them but in lower case."""
        return tuple(self._catalogues)

    def say(self, key: str, locale: str | None = None, /, **fields: object) -> str:
        """The sentence of that key in that language, or in the language without its region, or in English.

        Raises KeyError for an unknown key or a missing field: both are mistakes in the program.
        """
        sentence = self._sentence(key, locale or FALLBACK)
        if not isinstance(sentence, str):
            sentence = sentence["one" if fields["count"] == 1 and "one" in sentence else "other"]
        return sentence.format_map(fields)

    def has(self, key: str) -> bool:
        """Whether there is such a sentence (in English, and so in every language)."""
        return key in self._fallback

    def keys_of(self, locale: str) -> frozenset[str]:
        """All keys of one catalogue."""
        return frozenset(self._catalogues[locale.lower()])

    def placeholders(self, key: str, locale: str = FALLBACK) -> frozenset[str]:
        """The fields that a sentence needs."""
        sentence = self._catalogues[locale.lower()][key]
        forms = [sentence] if isinstance(sentence, str) else [*sentence.values(), "{count}"]
        return frozenset(name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name)

    def _sentence(self, key: str, locale: str) -> str | Mapping[str, str]:
        locale = locale.lower()
        for name in (locale, locale.partition("-")[0]):
            if key in self._catalogues.get(name, ()):
                return self._catalogues[name][key]
        return self._fallback[key]


def load_messages(folder: Path = FOLDER) -> Messages:
    """Read all catalogues of a folder; a file's name is its locale."""
    return Messages(
        {path.stem: _flat(tomllib.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.toml"))}
    )


def quotable(text: object, length: int = QUOTED_LENGTH) -> str:
    """Text that people typed, made fit for a code span: no backticks in it, no line breaks, and not endless.

    Nor is there anything left that reverses the direction of writing, which would reach beyond the span, or that cannot
    be sent at all.
    """
    plain = _UNSEEN.sub("", _BREAKS.sub(" ", str(text))).replace("`", "ˋ")
    return plain if len(plain) <= length else plain[:length] + "…"


def _flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, str | Mapping[str, str]]:
    """Nested tables → dotted keys. A table with `other` in it is one sentence in several forms."""
    sentences: dict[str, str | Mapping[str, str]] = {}
    for name, value in tables.items():
        key = prefix + name
        if isinstance(value, str) or ("other" in value and set(value) <= PLURAL_FORMS):
            sentences[key] = value
        else:
            sentences |= _flat(value, f"{key}.")
    return sentences
