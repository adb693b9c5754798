"""One priority class of the queue: whose turn it is, who comes along, and how long anybody may wait for that.

What is fair, and what may bend it, is said in `policy.py`.
"""

from __future__ import annotations

import copy
import heapq
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from generation.engine.protocol import WorkerInfo
from generation.queue.fluid import SMALL, Fluid
from generation.queue.placement import closeness
from generation.queue.queued import QueuedJob

# Two default grids of four (in credits, of one person's service): enough to fill a batch from the jobs of two people.
LEAD = 8
# With jobs of a few seconds and a model load of some ten seconds, four batches of one model pay for one change.
MAX_SKIPS = 3
# How much longer than is fair a job may be made to wait for the sake of others' models and batches.
PATIENCE = 1.5
# How many people next in line are looked at for company or for the model at hand; keeps a pick fast in a long queue.
WINDOW = 32

_Turn: TypeAlias = tuple[float, int, int]  # virtual finish, job id, user id: sorts into the fair order


class Lane:
    """One priority class."""

    def __init__(self) -> None:
        self._jobs: dict[int, QueuedJob] = {}
        self._lines: dict[int, list[int]] = {}  # user → job ids, sorted
        self._own: set[int] = set()  # users whose line no copy shares
        self._came: dict[int, tuple[float, float]] = {}  # job → virtual time, and work picked by then
        self._served: dict[int, float] = {}  # user → virtual finish of what was picked of theirs
        self._turns: list[_Turn] = []  # heap; a turn counts only while it is its user's entry in `_current`
        self._current: dict[int, _Turn] = {}
        self._fluid = Fluid()
        self._work = 0.0  # that was picked so far
        self._skips = 0
        self._held = 0  # jobs that would be here if they were not paused

    def copy(self) -> Lane:
        twin = copy.copy(self)
        twin._jobs = dict(self._jobs)
        # Of a hundred thousand people each gets their line copied when it is changed, here or there.
        twin._lines, twin._own = dict(self._lines), set()
        self._own.clear()
        twin._came = dict(self._came)
        twin._served = dict(self._served)
        twin._turns = list(self._turns)
        twin._current = dict(self._current)
        twin._fluid = self._fluid.copy()
        return twin

    @property
    def depth(self) -> int:
        """How many jobs wait here, or would if they were not paused."""
        return len(self._jobs) + self._held

    def turn(self, job: QueuedJob) -> float:
        """The virtual finish of a job, after those that its owner ordered before."""
        line = self._lines[job.user_id]
        finish = self._current[job.user_id][0]
        for job_id in line[1 : bisect_left(line, job.id) + 1]:
            finish = max(self._came[job_id][0], finish) + self._jobs[job_id].cost
        return finish

    def served(self, user_id: int) -> float:
        """The virtual finish of what was picked last of theirs; 0 if that is forgotten."""
        return self._served.get(user_id, 0.0)

    def add(self, job: QueuedJob) -> None:
        self._let_wait(job, since=self._fluid.time)

    def give_back(self, job: QueuedJob) -> None:
        """A picked job comes back: its owner was not served, and has the turn again that they had."""
        self._fluid.remove(job.user_id, job.cost)
        if job.user_id in self._served:
            self._served[job.user_id] -= job.cost
        since = self._served.get(job.user_id, self._fluid.time)
        # Earlier jobs of theirs that were given back before this one were charged for it until now.
        line = self._lines.get(job.user_id, [])
        for job_id in line[: bisect_left(line, job.id)]:
            came, work = self._came[job_id]
            self._came[job_id] = min(came, since), work
        self._let_wait(job, since=since)

    def waiting(self) -> Iterable[QueuedJob]:
        """Its jobs, in no order."""
        return self._jobs.values()

    def remove(self, job: QueuedJob) -> None:
        self._fluid.remove(job.user_id, job.cost)
        self._forget(job)
        self._tidy()

    def serve(self, job: QueuedJob) -> None:
        """Take out a job that is served elsewhere, first of its owner's or not."""
        self._served[job.user_id] = max(self._came[job.id][0], self._served.get(job.user_id, 0.0)) + job.cost
        self._forget(job)
        self._work += job.cost
        self._fluid.serve(job.cost)
        self._tidy()

    def hold(self, job: QueuedJob) -> None:
        """Leave a job out until `release`. What its owner was served is not forgotten meanwhile."""
        self._held += 1
        self.remove(job)

    def release(self, job: QueuedJob) -> None:
        self._held -= 1
        self.add(job)

    def first(self) -> QueuedJob | None:
        """The fair choice; None if nothing waits."""
        self._drop_outdated()
        return self._jobs[self._turns[0][1]] if self._turns else None

    def pick(self, worker: WorkerInfo) -> tuple[QueuedJob, ...]:
        self._drop_outdated()
        if not self._turns:
            return ()
        fair = self._turns[0]
        turn = self._preferred(fair, worker)
        self._skips = self._skips + 1 if turn is not fair else 0
        head = self._jobs[turn[1]]
        batch = (head, *self._companions(turn, fair[0] + LEAD, worker))
        work = sum(job.cost for job in batch)
        self._work += work
        self._fluid.serve(work)
        return batch

    def _preferred(self, fair: _Turn, worker: WorkerInfo) -> _Turn:
        """The fair choice, or for a while one that suits better what the worker holds."""
        close = closeness(self._jobs[fair[1]], worker)
        if self._skips >= MAX_SKIPS or worker.model is None or close == 2:
            return fair
        best, passed = fair, list[_Turn]()
        ahead, bearable = 0, float("inf")
        for turn in self._in_turn(fair[0] + LEAD):
            job = self._jobs[turn[1]]
            if closeness(job, worker) > close and job.cost <= bearable:
                best, close = turn, closeness(job, worker)
            passed.append(turn)
            ahead += job.cost
            bearable = min(bearable, self._patience(turn) - ahead)
            if len(passed) == WINDOW or close == 2 or bearable <= 0:
                break
        self._put_back(passed)
        return best

    def _companions(self, turn: _Turn, until: float, worker: WorkerInfo) -> Iterator[QueuedJob]:
        """Those next in the fair order who share the head's forward pass; all are taken out, the head first.

        A person's own order is kept, and none is taken whose virtual finish is later than `until`.
        """
        head = self._jobs[turn[1]]
        room, work, ahead = head.room - head.pixels, head.cost, 0
        if head.alone or room <= 0:
            self._take(head)
            return
        bearable = self._patience(turn)
        self._take(head)
        passed: list[_Turn] = []
        for turn in self._in_turn(until):
            job = self._jobs[turn[1]]
            if job.pixels <= room and job.shares_pass(head, worker):
                bearable = min(bearable, self._patience(turn))
                if work + job.cost > bearable:
                    passed.append(turn)
                    break
                room -= job.pixels
                work += job.cost
                self._take(job)
                yield job
            else:
                passed.append(turn)
                ahead += job.cost
                bearable = min(bearable, self._patience(turn) - ahead)
            if len(passed) == WINDOW or room <= 0 or work >= bearable:
                break
        self._put_back(passed)

    def _patience(self, turn: _Turn) -> float:
        """How much work may be picked from now until that job is ready, itself included."""
        waited = self._work - self._came[turn[1]][1]
        return PATIENCE * (waited + self._fluid.work_until(turn[0])) - waited

    def _in_turn(self, until: float) -> Iterator[_Turn]:
        """The turns in the fair order, up to that virtual finish; each is taken off the heap as it comes."""
        self._drop_outdated()
        while self._turns and self._turns[0][0] <= until:
            yield heapq.heappop(self._turns)
            self._drop_outdated()

    def _drop_outdated(self) -> None:
        """Leave a turn that counts at the top of the heap."""
        while self._turns and self._current.get(self._turns[0][2]) is not self._turns[0]:
            heapq.heappop(self._turns)

    def _put_back(self, turns: list[_Turn]) -> None:
        for turn in turns:
            heapq.heappush(self._turns, turn)

    def _let_wait(self, job: QueuedJob, *, since: float) -> None:
        self._jobs[job.id] = job
        self._came[job.id] = (since, self._work)
        self._fluid.add(job.user_id, job.cost)
        insort(self._own_line(job.user_id), job.id)
        self._update_turn(job.user_id)
        self._tidy()

    def _take(self, job: QueuedJob) -> None:
        """Take out a job that will be served."""
        self._served[job.user_id] = self._current[job.user_id][0]
        self._forget(job)

    def _forget(self, job: QueuedJob) -> None:
        del self._jobs[job.id], self._came[job.id]
        line = self._own_line(job.user_id)
        del line[bisect_left(line, job.id)]
        self._update_turn(job.user_id)
        if not self._jobs and not self._held:  # everybody had all that they wanted: nobody is ahead of anybody
            self._served.clear()

    def _own_line(self, user_id: int) -> list[int]:
        """A person's line, to be changed."""
        if user_id not in self._own:
            self._own.add(user_id)
            self._lines[user_id] = list(self._lines.get(user_id, ()))
        return self._lines[user_id]

    def _update_turn(self, user_id: int) -> None:
        """Bring a person's turn up to date with the first of their jobs."""
        line = self._lines[user_id]
        if not line:
            del self._lines[user_id]
            self._own.discard(user_id)
            self._current.pop(user_id, None)
            return
        job = self._jobs[line[0]]
        start = max(self._came[job.id][0], self._served.get(user_id, 0.0))
        turn = (start + job.cost, job.id, user_id)
        if self._current.get(user_id) != turn:
            self._current[user_id] = turn
            heapq.heappush(self._turns, turn)

    def _tidy(self) -> None:
        """Keep outdated turns from outnumbering those that count, where nothing is ever picked. Not during a pick."""
        if len(self._turns) > 2 * len(self._current) + SMALL:
            self._turns = list(self._current.values())
            heapq.heapify(self._turns)
