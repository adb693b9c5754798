"""A button pressed twice at once means one order; pressed twice with a pause, it means two."""

from __future__ import annotations

from generation.clock import Clock
from generation.errors import RequestRejected

DOUBLE_CLICK_SECONDS = 2.0
MANY = 1000  # presses remembered before those that are over are forgotten


class DoubleClick(RequestRejected):
    """The same person pressed the same button a moment ago."""

    key = "double_click"


class Presses:
    """The last presses, by person and button."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: dict[tuple[int, str], float] = {}

    def refuse_second(self, user_id: int, custom_id: str) -> None:
        """Take note of a press. Raises `DoubleClick` if it is the second within a moment."""
        now = self._clock.monotonic()
        if len(self._last) > MANY:
            self._last = {press: at for press, at in self._last.items() if now - at < DOUBLE_CLICK_SECONDS}
        last = self._last.get((user_id, custom_id))
        self._last[user_id, custom_id] = now
        if last is not None and now - last < DOUBLE_CLICK_SECONDS:
            raise DoubleClick
