"""The list that every server begins with."""

from __future__ import annotations

from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "default_words.txt"


@cache
def default_words() -> tuple[str, ...]:
    """The words and phrases of the list that comes with the program."""
    lines = (line.strip() for line in FILE.read_text(encoding="utf-8").splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))
