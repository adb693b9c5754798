"""The moderator log in words: one sentence for each action, `moderator_log.<action>` in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bot.wording import Moment, code

if TYPE_CHECKING:
    from bot.messages import Messages
    from storage.moderator_log import LogEntry

TIMES = frozenset({"until"})  # the details that hold a time, as ISO 8601: JSON knows none


def entry_words(messages: Messages, entry: LogEntry, locale: str | None) -> str:
    """Who did what to whom, safe to send as it is, mentions aside.

    A sentence may name `by`, the target as `user`, `channel` or `role`, and the details. Where one of these is None,
    the action's sentence `…_without_<name>` is taken if there is one.
    """
    who = messages.say("log.limner", locale) if entry.moderator_id is None else f"<@{entry.moderator_id}>"
    key = f"moderator_log.{entry.action.replace('.', '_')}"
    for name, value in entry.details.items():
        if value is None and messages.has(f"{key}_without_{name}"):
            key = f"{key}_without_{name}"
            break
    fields = {name: _shown(name, value) for name, value in entry.details.items()}
    if entry.target_id is not None:
        fields |= {
            "user": f"<@{entry.target_id}>",
            "channel": f"<#{entry.target_id}>",
            "role": f"<@&{entry.target_id}>",
        }
    try:
        return messages.say(key, locale, **fields, by=who)
    except (KeyError, ValueError):  # of another version, which knew other actions or details
        return messages.say("log.unknown", locale, by=who, action=code(entry.action))


def _shown(name: str, value: Any) -> object:
    """A detail as it can stand in a sentence: what people typed, and what we do not know, in a code span."""
    if name in TIMES and isinstance(value, str):
        return Moment(datetime.fromisoformat(value))
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list):
        return code(", ".join(str(one) for one in value))
    if isinstance(value, Mapping) or value is None:
        return code("")
    return code(str(value))
