"""How the queue shall behave. Read by whoever configures it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """Times in seconds.

    A running job whose lease was not renewed for `lease_seconds` goes back to the queue: its program died. Leases are
    renewed three times as often. After trouble with the store the queue pauses for `first_pause`, twice as long each
    time, `longest_pause` at most. Where other programs share the store, what waits is compared with it every
    `compare_seconds`, for what was not heard of. An idle worker waits for company of the jobs that it
    could begin with until the first of them has waited for `batch_wait_seconds`.
    """

    lease_seconds: float = 60.0
    batch_wait_seconds: float = 0.0
    first_pause: float = 1.0
    longest_pause: float = 60.0
    compare_seconds: float = 5.0
