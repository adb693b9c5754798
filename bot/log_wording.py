"""The moderator log in words: one sentence for each action, `moderator_log.<action>` in the catalogue."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bot.wording import Moment, code

if TYPE_CHECKING:
    from bot.messages import Messages
    from storage.moderator_log import Deed

TIMES = frozenset({"until"})  # the details that hold a time, as ISO 8601: JSON knows none


def deed_words(messages: Messages, deed: Deed, locale: str | None) -> str:
    """Who did what to whom, safe to send as it is, mentions aside.

    A sentence may name `by`, the target as `user`, `channel` or `role`, and the details. Where one of these is None
    or False, the action's sentence `…_without_<name>` is taken if there is one.
    """
    who = messages.say("log.limner", locale) if deed.moderator_id is None else f"<@{deed.moderator_id}>"
    key = f"moderator_log.{deed.action.replace('.', '_')}"
    for name, value in deed.details.items():
        if (value is None or value is False) and messages.has(f"{key}_without_{name}"):
            key = f"{key}_without_{name}"
            break
    target = deed.target_id
    named = {} if target is None else {"user": f"<@{target}>", "channel": f"<#{target}>", "role": f"<@&{target}>"}
    try:
        fields = {name: _shown(name, value) for name, value in deed.details.items()} | named
        return messages.say(key, locale, **fields, by=who)
    except (KeyError, ValueError):  # of another version, which knew other actions or details
        return messages.say("log.unknown", locale, by=who, action=code(deed.action))


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
