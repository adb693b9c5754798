"""The moderator log in words: each action that code writes has a sentence, and no text gets out of its code span."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.log_wording import deed_words
from bot.messages import load_messages
from storage.guild_rules import LIMITS
from storage.moderator_log import LogEntry

ROOT = Path(__file__).parent.parent
MESSAGES = load_messages()
ACTION = re.compile(r"[a-z]+\.[a-z_]+")
NOTICES = ("notices", "moderator_log")  # what bot/ tells of through


def literals(node: ast.AST) -> set[str]:
    """The texts in a piece of code that look like actions."""
    found = {one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return {text for text in found if ACTION.fullmatch(text)}


def written_actions() -> set[str]:
    """All that code writes into the log: where storage writes into it, no other texts have that form."""
    found = {f"limit.{name}" for name in LIMITS}
    for path in (ROOT / "storage").glob("*.py"):
        code = path.read_text(encoding="utf-8")
        if "write_down(" in code or "ACTION = " in code:
            found |= literals(ast.parse(code))
    for path in (ROOT / "bot").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and any(name in ast.unparse(node.func) for name in NOTICES):
                found |= literals(node)
    return found


def sentences() -> set[str]:
    """The actions that have words; those without a detail are forms of another."""
    keys = {key.removeprefix("moderator_log.") for key in MESSAGES.keys_of("en") if key.startswith("moderator_log.")}
    return {key for key in keys if "_without_" not in key}


def test_every_action_has_words_and_no_words_are_left_over() -> None:
    actions = written_actions()
    assert {"quota.grant", "quota.reset", "ban.set", "pause.end", "limit.steps", "words.refused"} <= actions
    assert {action.replace(".", "_") for action in actions} == sentences()


def entry(action: str, *, by: int | None = 5, target: int | None = 6, **details: Any) -> LogEntry:
    now = datetime(2026, 3, 14, tzinfo=UTC)
    return LogEntry(id=1, guild_id=2, moderator_id=by, action=action, target_id=target, details=details, created_at=now)


@pytest.mark.parametrize(
    ("logged", "words"),
    [
        (entry("quota.grant", credits=4), "<@5> granted <@6> credits: 4"),
        (entry("quota.default", target=None, credits=None), "<@5> put the server's default quota back to the config"),
        (
            entry("ban.set", reason="@everyone `x`", until="2026-03-15T00:00:00+00:00"),
            "<@5> banned <@6> until <t:1773532800:f>: `@everyone ˋxˋ`",
        ),
        (entry("ban.set", reason="spam", until=None), "<@5> banned <@6> for good: `spam`"),
        (entry("channel.allow"), "<@5> allowed drawing in <#6>"),
        (entry("limit.megapixels", target=None, limit=1.5), "<@5> set the largest size of a picture: 1.5 megapixels"),
        (entry("words.refused", by=None, word="x", prompt="a x"), "Limner"),
        (entry("words.refused", word="x", prompt=None), "<@5> refused what <@6> asked for, because of `x`"),
        (entry("song.sung", target=None, notes="la"), "<@5>: `song.sung`"),
        (entry("quota.grant", target=None), "<@5>: `quota.grant`"),
        (entry("ban.set", reason="spam", until="soon"), "<@5>: `ban.set`"),
    ],
)
def test_an_entry_is_one_sentence(logged: LogEntry, words: str) -> None:
    assert deed_words(MESSAGES, logged, "en").startswith(words)


@given(st.text(), st.text())
def test_what_people_typed_stays_in_its_code_span(reason: str, other: str) -> None:
    said = deed_words(MESSAGES, entry("ban.set", reason=reason, until=None, other=[other]), "en")
    assert said.count("`") == 2
    assert said.startswith("<@5> banned <@6> for good: `")
    assert said.endswith("`")
