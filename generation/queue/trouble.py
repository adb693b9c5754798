"""Going on when the store fails: disk full, database locked or gone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import structlog

from generation.clock import Clock
from generation.queue.settings import QueueSettings


@dataclass(slots=True)
class Attempt:
    """How something went: `error` is what it raised, or None."""

    error: Exception | None = None


class Trouble:
    """Survives failures around the store, counts them, and says how long to rest before leasing more.

    The store may fail in whatever way its database does, so this is the queue's side of the worker's loop: the one
    place that catches `Exception`.
    """

    def __init__(self, settings: QueueSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._in_a_row = 0
        self._rest_until = 0.0
        # Whether a failure may have left jobs in the store's queue that are not in ours.
        self.doubtful = False

    @contextlib.contextmanager
    def survive(self, event: str, *job_ids: int) -> Iterator[Attempt]:
        """Log what goes wrong inside, with its jobs, and go on; the attempt tells."""
        attempt = Attempt()
        try:
            yield attempt
        except Exception as error:  # noqa: BLE001 - see the class
            structlog.get_logger(__name__).exception(event, job_ids=job_ids)
            attempt.error = error
            self.doubtful = True
            pause = min(self._settings.first_pause * 2**self._in_a_row, self._settings.longest_pause)
            self._in_a_row += 1
            self._rest_until = self._clock.monotonic() + pause

    def over(self) -> None:
        """The store works."""
        self._in_a_row = 0

    def rest_seconds(self) -> float:
        """How long to leave the store alone from now on; 0 or less: no longer."""
        return self._rest_until - self._clock.monotonic()
