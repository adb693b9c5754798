"""The one place that words errors. Exceptions carry data; the sentences stand in the catalogue under `errors`."""

from __future__ import annotations

import contextlib
import secrets
from datetime import datetime

import structlog

from bot.messages import Messages, quotable
from bot.wording import Moment
from generation.errors import LimnerError


def words(error: BaseException, messages: Messages, locale: str | None = None) -> str:
    """What to tell the person, in their language and safe to send as it is.

    An error that nobody foresaw gets a sentence with a reference, under which it is logged; so does one that has no
    words, or not the fields that they need.
    """
    if isinstance(error, LimnerError):
        fields = {name: _shown(value) for name, value in error.fields.items()}
        with contextlib.suppress(KeyError, ValueError):
            return messages.say(_sentence_key(error), locale, **fields)
    reference = secrets.token_hex(4)
    structlog.get_logger(__name__).error("unforeseen_error", reference=reference, exc_info=error)
    return messages.say("errors.unforeseen", locale, reference=reference)


def ending_words(key: str, messages: Messages, locale: str | None = None) -> str:
    """Why a job failed, from the error key that was stored with it."""
    ending = f"endings.{key}"
    return messages.say(ending if messages.has(ending) else "endings.error", locale)


def _sentence_key(error: LimnerError) -> str:
    """`errors.<key>`; with `.<kind>` where the error has one, and `.nearest` where there is a name to suggest."""
    key = f"errors.{error.key}"
    if "kind" in error.fields:
        key += f".{error.fields['kind']}"
    if "nearest" in error.fields:
        key += ".nearest" if error.fields["nearest"] else ".unknown"
    return key


def _shown(value: object) -> object:
    """A field as it can stand in a sentence: times as Discord's timestamps, texts without what breaks a code span."""
    if isinstance(value, datetime):
        return Moment(value)
    return quotable(value) if isinstance(value, str) else value
