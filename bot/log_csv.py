"""The moderator log as CSV, for spreadsheets and for programs. Pure.

Whoever was refused for a word wrote part of what stands here, and a spreadsheet takes a cell that begins with `=`, `+`,
`-` or `@` for a formula (OWASP, "CSV Injection"). An apostrophe before it makes it a text. It is also put where such a
sign follows what some spreadsheets part cells at, whatever we put between them.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from storage.moderator_log import LogEntry

BYTE_ORDER_MARK = "\ufeff"  # without it Excel takes UTF-8 for something else
COLUMNS = ("id", "time", "moderator_id", "action", "target_id", "details")
_FORMULA = re.compile(r"""(^|[,;\t\r\n|])([\s"'\\]*)([=+\-@＝＋－＠])""")


def heading() -> bytes:
    """The first line of the file."""
    return _lines([COLUMNS], before=BYTE_ORDER_MARK)


def lines_of(entries: Iterable[LogEntry]) -> bytes:
    """A line for each entry. Times are ISO 8601 in UTC; an empty `moderator_id` is Limner itself; details are JSON."""
    return _lines(
        (
            str(entry.id),
            entry.created_at.isoformat(timespec="seconds"),
            "" if entry.moderator_id is None else str(entry.moderator_id),
            entry.action,
            "" if entry.target_id is None else str(entry.target_id),
            json.dumps(dict(entry.details), ensure_ascii=False, sort_keys=True),
        )
        for entry in entries
    )


def harmless(text: str) -> str:
    """The text as a cell that no spreadsheet runs."""
    return _FORMULA.sub(r"\1\2'\3", text)


def _lines(rows: Iterable[Iterable[str]], *, before: str = "") -> bytes:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerows([harmless(cell) for cell in row] for row in rows)
    return (before + written.getvalue()).encode(errors="replace")  # half a surrogate pair can be typed, not written
