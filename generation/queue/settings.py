"""How the queue shall behave. Read by whoever configures it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """Times in seconds.

    A running job whose lease was not renewed for `lease_seconds` goes back to the queue: its program died. Leases are
    renewed three times as often. After trouble with the store the queue pauses for `first_pause`, twice as long each
    time, `longest_pause` at most.
    """

    lease_seconds: float = 60.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
