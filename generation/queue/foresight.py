"""One look ahead over all who wait, taken piece by piece, so that nobody is kept waiting by it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from generation.engine.protocol import WorkerInfo
from generation.job import Priority
from generation.queue.estimate import Outlook, Speeds, look_ahead
from generation.queue.policy import FairQueue, QueuedJob

# Of so many jobs at most the waits are compared with later ones (see `headway.py`): of more, every other or every
# fourth does as well.
COMPARED = 2_000


@dataclass(slots=True)
class _Course:
    """What those of one priority class are told, in the order of their turns (`FairQueue.turn`) and, of equal ones,
    their ids."""

    turns: list[tuple[float, int]] = field(default_factory=list)  # rising
    outlooks: list[Outlook] = field(default_factory=list)

    def pass_by(self, turn: tuple[float, int], outlook: Outlook) -> None:
        """Who suits a worker may come before their turn: then the order goes on from where it was."""
        self.turns.append(max(turn, self.turns[-1]) if self.turns else turn)
        self.outlooks.append(outlook)

    def at(self, turn: tuple[float, int]) -> Outlook | None:
        """What somebody would be told whose turn it is then; None where nobody has been looked at so far back."""
        place = bisect_left(self.turns, turn)
        return self.outlooks[place] if place < len(self.outlooks) else None


class Foresight:
    """A forecast for the jobs that wait at one moment: `told` is what it has found so far, the next in turn first.

    `seats` are workers with the seconds until each is idle. What comes or goes meanwhile is not in it.
    """

    def __init__(self, queue: FairQueue, seats: Sequence[tuple[WorkerInfo, float]], speeds: Speeds) -> None:
        self.told: dict[int, Outlook] = {}
        self.compared: dict[int, tuple[Priority, float]] = {}  # class and seconds until it begins
        self.over = False
        self._queue = queue
        self._seats = seats
        self._speeds = speeds
        self._courses = {priority: _Course() for priority in Priority}
        self._last: Outlook | None = None
        # A power of two: then the jobs of a sparser choice are among those of a denser one.
        self._stride = 1 << max(0, (len(queue) - 1) // COMPARED).bit_length()
        self._found = self._look()

    def go_on(self, jobs: float) -> None:
        """Look at so many jobs more (infinity: all), or a few more than that if these share a batch."""
        for found in self._found:
            jobs -= found
            if jobs <= 0:
                return
        self.over = True

    def guess(self, job: QueuedJob) -> Outlook | None:
        """For one that came later: what others in its place are told. None: so far back nobody has been looked at."""
        if self._queue.paused(job.id):  # as if all who wait were before it
            return None if self._last is None else replace(self._last, position=len(self._queue), paused=True)
        course = self._courses[job.priority]
        behind = (each for priority, each in self._courses.items() if priority > job.priority and each.outlooks)
        found = course.at((self._queue.turn(job.id), job.id)) or next((each.outlooks[0] for each in behind), None)
        if found is not None or self._last is None or not self.over:
            return found
        last = self._last
        return replace(last, position=last.position + 1, wait_seconds=last.wait_seconds + last.work_seconds)

    def _look(self) -> Iterator[int]:
        """How many jobs were found, again and again."""
        twin = self._queue.copy()
        for batch in look_ahead(twin, self._seats, self._speeds):
            for job, outlook in batch:
                self.told[job.id] = outlook
                if job.id % self._stride == 0:
                    self.compared[job.id] = (job.priority, outlook.wait_seconds)
                self._courses[job.priority].pass_by((twin.served(job), job.id), outlook)
                self._last = outlook
            yield len(batch)
        if not self._queue.held_back():
            return
        for batch in look_ahead(self._queue.resumed(), self._seats, self._speeds):
            for job, outlook in batch:
                if self._queue.paused(job.id):
                    self.told[job.id] = replace(outlook, paused=True)
            yield len(batch)
