"""Small forms that several messages share: what people typed, how long something takes, how details are joined."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from bot.messages import Messages, quotable

if TYPE_CHECKING:
    from generation.queue.listener import JobProgress

SEPARATOR = " · "
MESSAGE_LENGTH = 2000  # characters, by Discord's rules
REQUEST_LENGTH = 600  # characters of what was typed; a message has 2,000 at most


def fitting(lines: Iterable[str], length: int) -> list[str]:
    """Those of the first lines that together, with their breaks, have at most so many characters; one at least."""
    fit: list[str] = []
    for line in lines:
        length -= len(line) + 1
        if fit and length < -1:  # the last line has no break
            break
        fit.append(line)
    return fit


def code(text: str) -> str:
    """What people typed, as a code span: nothing in it is a mention, a link or Markdown. Nothing typed is `…`."""
    return f"`{quotable(text, REQUEST_LENGTH) or '…'}`"


def duration(messages: Messages, seconds: float, locale: str | None) -> str:
    """Seconds as people say them: `0.4 s`, `20 s`, `3 min`, `2 h 5 min`."""
    if seconds < 9.95:
        return messages.say("duration.seconds", locale, count=f"{max(seconds, 0):.1f}")
    if seconds < 90:
        return messages.say("duration.seconds", locale, count=round(seconds))
    minutes = round(seconds / 60)
    if minutes < 60:
        return messages.say("duration.minutes", locale, count=minutes)
    return messages.say("duration.hours", locale, hours=minutes // 60, minutes=minutes % 60)


def price(messages: Messages, credits: int, locale: str | None) -> str:
    """What an order costs; only relaxed ones cost nothing."""
    return messages.say("status.cost", locale, count=credits) if credits else messages.say("status.relaxed", locale)


def refund(messages: Messages, credits: int, locale: str | None) -> str:
    """What becomes of the price of a job without pictures."""
    if credits:
        return messages.say("status.refund", locale, count=credits)
    return messages.say("status.nothing_to_refund", locale)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time in a sentence, which Discord shows by everybody's own clock: `{until}` is how long until then (or since),
    `{until:f}` the date and time.
    """

    when: datetime

    def __format__(self, style: str) -> str:
        return f"<t:{int(self.when.timestamp())}:{style or 'R'}>"


def percent_of(progress: JobProgress) -> int:
    """How much is done; 100 only when all is."""
    return math.floor(100 * progress.step / max(1, progress.steps))
