"""The moderator log as CSV: it reads back as it was, and no spreadsheet finds a formula in it."""

from __future__ import annotations

import csv
import io
import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot.log_csv import COLUMNS, harmless, heading, lines_of
from storage.moderator_log import LogEntry

NOW = datetime(2026, 3, 14, 10, 0, 0, 5, tzinfo=UTC)
SIGNS = "=+-@＝＋－＠"
TEXTS = st.text(st.sampled_from("=+-@＝\t\r\n ;,|\"'\\a") | st.characters())


def entry(details: dict[str, object], *, action: str = "ban.set", by: int | None = 2**62) -> LogEntry:
    return LogEntry(id=7, guild_id=1, moderator_id=by, action=action, target_id=None, details=details, created_at=NOW)


def read(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))


def test_a_line_for_each_entry() -> None:
    data = heading() + lines_of([entry({"reason": 'floods; says "hé"'}), entry({}, by=None)])
    assert data.startswith(b"\xef\xbb\xbf")
    assert read(data) == [
        list(COLUMNS),
        ["7", "2026-03-14T10:00:00+00:00", str(2**62), "ban.set", "", '{"reason": "floods; says \\"hé\\""}'],
        ["7", "2026-03-14T10:00:00+00:00", "", "ban.set", "", "{}"],
    ]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("before", ["", " ", "\t", "\r\n", '"', "a;", 'a;"', "a,\t"])
def test_a_formula_becomes_a_text(sign: str, before: str) -> None:
    assert harmless(f"{before}{sign}1+1") == f"{before}'{sign}1+1"


def test_what_is_no_formula_stays_as_it_is() -> None:
    for text in ("a red boat --ar 3:2", "2026-03-14T10:00:00+00:00", '{"a": 1}', "x=1", "50 % - 60 %"):
        assert harmless(text) == text


@given(TEXTS, st.sampled_from([",", ";", "\t", "|"]))
@example("\r\n;=HYPERLINK(1)", ";")
@example('";=cmd|1', ";")
def test_no_cell_is_a_formula_whatever_the_cells_are_parted_at(reason: str, delimiter: str) -> None:
    text = (heading() + lines_of([entry({"reason": reason, reason: "x"}, action=reason)])).decode("utf-8-sig")
    cells = [cell for line in re.split(r"[\r\n]+", text) for cell in line.split(delimiter)]
    cells += [cell for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) for cell in row]
    for cell in cells:
        assert not cell.lstrip(' \t\r\n"\\').startswith(tuple(SIGNS)), cell


@given(st.text(st.characters(exclude_characters="=+-@＝＋－＠", exclude_categories=["Cs"])))
def test_details_come_back_as_they_were(reason: str) -> None:
    [[*_, details]] = read(lines_of([entry({"reason": reason})]))
    assert json.loads(details) == {"reason": reason}
