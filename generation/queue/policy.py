"""Which job runs next on which worker: fair among people, in batches, every preference bounded.

A priority class is a queue of its own, and a smaller class always goes first. Within one, people are served by weighted
fair queueing (Demers, Keshav and Shenker 1989; all weights are 1): beside the queue runs a model of a machine that
serves all who wait at once, in equal parts of its work (`fluid.py`), and the job goes next that would be ready there
first. So everybody gets the same work out of the machine while they wait, however many jobs they have there and however
large these are; and a job is ready no later than there, but for one job that cannot be interrupted. Whoever comes back
begins with those who wait: nobody saves up turns by staying away, and nobody owes for what they drew while nobody else
wanted to. A person's own jobs run in the order of their ids.

Two things may move a job ahead of its turn. Both look no further than `LEAD` beyond the fair choice, and leave it, and
whoever else they delay, within `PATIENCE` times the wait that is fair:

- It rides along in a batch whose head is the fair choice, because it shares the head's forward pass.
- The worker already holds its model or LoRAs. At most `MAX_SKIPS` picks in a row pass over the fair choice for that.
"""

from __future__ import annotations

import copy
import heapq
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from generation.catalogue import Catalogue
from generation.engine.protocol import WorkerInfo
from generation.errors import UnknownName
from generation.job import Job, Priority
from generation.queue.fluid import SMALL, Fluid

# Two default grids of four (in credits, of one person's service): enough to fill a batch from the jobs of two people.
LEAD = 8
# With jobs of a few seconds and a model load of some ten seconds, four batches of one model pay for one change.
MAX_SKIPS = 3
# How much longer than is fair a job may be made to wait for the sake of others' models and batches.
PATIENCE = 1.5
# How many people next in line are looked at for company or for the model at hand; keeps a pick fast in a long queue.
WINDOW = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """A job as the policy sees it.

    `cost` is its work in credits, whatever its owner pays; `work` the same unrounded, in units of one native-size
    picture. `pixels` is the area of all its pictures, `room` the area that shares one forward pass of its model.
    `alone` jobs share their batch with nobody. `guild_id` is None in a direct message.
    """

    id: int
    user_id: int
    priority: Priority
    cost: int
    model: str
    loras: tuple[str, ...]
    batch_key: Hashable
    pixels: int
    room: int
    work: float
    alone: bool = False
    guild_id: int | None = None

    @classmethod
    def of(cls, job: Job, catalogue: Catalogue) -> QueuedJob:
        """The policy's view of a job. One that failed before runs alone: it must not take its neighbours down again."""
        first = job.recipes[0]
        try:
            model = catalogue.model(first.model)
            room = model.max_batch * model.native_size**2
            work = sum(
                recipe.work(native_size=model.native_size, default_steps=model.num_inference_steps)
                for recipe in job.recipes
            )
        except UnknownName:  # it will be refused when its turn comes
            room, work = 0, float(job.cost)
        return cls(
            id=job.id,
            user_id=job.user_id,
            priority=job.priority,
            cost=max(1, job.cost),
            model=first.model,
            loras=tuple(lora.name for lora in first.loras),
            batch_key=first.batch_key(),
            pixels=sum(recipe.width * recipe.height for recipe in job.recipes),
            room=room,
            work=work,
            alone=job.attempt > 0,
            guild_id=job.guild_id,
        )


class FairQueue:
    """The jobs that wait. Pure and synchronous; the same calls give the same picks.

    Costs are in credits, at least 1. Where n people wait, adding and removing take O(log n) in the mean (a person's own
    jobs are a sorted list, too short to matter) and a pick O(n log n): it looks at `WINDOW` of them, but to know how
    long these may be delayed, the work of all is sorted once.
    """

    def __init__(self) -> None:
        self._lanes = {priority: _Lane() for priority in Priority}
        self._jobs: dict[int, QueuedJob] = {}
        self._paused: set[int] = set()  # servers
        self._all_paused = False
        self._held: dict[int, QueuedJob] = {}  # those jobs that wait in no lane, because their server is paused

    def __len__(self) -> int:
        return len(self._jobs)

    def depths(self) -> dict[Priority, int]:
        """How many jobs wait in each priority class, paused ones too."""
        counted = Counter(job.priority for job in self._jobs.values())
        return {priority: counted[priority] for priority in Priority}

    def held_back(self) -> int:
        """How many of those that wait cannot be picked until a `resume`."""
        return len(self._jobs) if self._all_paused else len(self._held)

    @property
    def all_paused(self) -> bool:
        """Whether nothing at all is picked until `resume(None)`."""
        return self._all_paused

    @property
    def ready(self) -> bool:
        """Whether a pick would give something."""
        return not self._all_paused and len(self._held) < len(self._jobs)

    def __contains__(self, job_id: int) -> bool:
        return job_id in self._jobs

    def waiting(self) -> Iterable[QueuedJob]:
        """All jobs that wait, paused ones too, in no order."""
        return self._jobs.values()

    def copy(self) -> FairQueue:
        """An independent queue in the same state, to see what would be picked."""
        twin = FairQueue()
        twin._lanes = {priority: lane.copy() for priority, lane in self._lanes.items()}
        twin._jobs = dict(self._jobs)
        twin._paused, twin._all_paused, twin._held = set(self._paused), self._all_paused, dict(self._held)
        return twin

    def pause(self, guild_id: int | None) -> None:
        """Pick no jobs of a server (None: none at all) until `resume`. They keep their place among their owners'."""
        if guild_id is None:
            self._all_paused = True
            return
        self._paused.add(guild_id)
        for job in [job for job in self._jobs.values() if job.guild_id == guild_id and job.id not in self._held]:
            self._hold(job)

    def resume(self, guild_id: int | None) -> None:
        """Undo that `pause`: other ones stay. Who was held back is served as if they came back to the queue now."""
        if guild_id is None:
            self._all_paused = False
            return
        self._paused.discard(guild_id)
        for job in [job for job in self._held.values() if job.guild_id == guild_id]:
            del self._held[job.id]
            self._lanes[job.priority].release(job)

    def paused(self, job_id: int) -> bool:
        """Whether a job waits for a `resume`."""
        return job_id in self._held or (self._all_paused and job_id in self._jobs)

    def resumed(self) -> FairQueue:
        """A copy in which nothing is paused."""
        twin = self.copy()
        for guild_id in (None, *self._paused):
            twin.resume(guild_id)
        return twin

    def add(self, job: QueuedJob) -> None:
        """Let a job wait. Adding one that waits already changes nothing."""
        if job.id in self._jobs:
            return
        self._jobs[job.id] = job
        self._lanes[job.priority].add(job)
        if job.guild_id in self._paused:
            self._hold(job)

    def give_back(self, job: QueuedJob) -> None:
        """Let a picked job wait again: its owner was not served after all. Of several, in whatever order."""
        if job.id in self._jobs:
            return
        self._jobs[job.id] = job
        self._lanes[job.priority].give_back(job)
        if job.guild_id in self._paused:
            self._hold(job)

    def remove(self, job_id: int) -> bool:
        """Take a job out unserved. False: it does not wait here."""
        job = self._jobs.pop(job_id, None)
        if job is None:
            return False
        lane = self._lanes[job.priority]
        if self._held.pop(job_id, None) is not None:
            lane.release(job)
        lane.remove(job)
        return True

    def pick(self, worker: WorkerInfo) -> tuple[QueuedJob, ...]:
        """Take out the jobs that this worker shall run now as one batch, its head first; () if none wait.

        All recipes in it have the same batch key, and together they fit the model's `max_batch`. A single job is
        picked whatever its size: the painter splits it.
        """
        if self._all_paused:
            return ()
        for lane in self._lanes.values():
            batch = lane.pick(worker)
            if batch:
                for job in batch:
                    del self._jobs[job.id]
                return batch
        return ()

    def _hold(self, job: QueuedJob) -> None:
        self._held[job.id] = job
        self._lanes[job.priority].hold(job)


_Turn: TypeAlias = tuple[float, int, int]  # virtual finish, job id, user id: sorts into the fair order


class _Lane:
    """One priority class."""

    def __init__(self) -> None:
        self._jobs: dict[int, QueuedJob] = {}
        self._lines: dict[int, list[int]] = {}  # user → job ids, sorted
        self._came: dict[int, tuple[float, float]] = {}  # job → virtual time, and work picked by then
        self._served: dict[int, float] = {}  # user → virtual finish of what was picked of theirs
        self._turns: list[_Turn] = []  # heap; a turn counts only while it is its user's entry in `_current`
        self._current: dict[int, _Turn] = {}
        self._fluid = Fluid()
        self._work = 0.0  # that was picked so far
        self._skips = 0
        self._held = 0  # jobs that would be here if they were not paused

    def copy(self) -> _Lane:
        twin = copy.copy(self)
        twin._jobs = dict(self._jobs)
        twin._lines = {user_id: line.copy() for user_id, line in self._lines.items()}
        twin._came = dict(self._came)
        twin._served = dict(self._served)
        twin._turns = list(self._turns)
        twin._current = dict(self._current)
        twin._fluid = self._fluid.copy()
        return twin

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

    def remove(self, job: QueuedJob) -> None:
        self._fluid.remove(job.user_id, job.cost)
        self._forget(job)
        self._tidy()

    def hold(self, job: QueuedJob) -> None:
        """Leave a job out until `release`. What its owner was served is not forgotten meanwhile."""
        self._held += 1
        self.remove(job)

    def release(self, job: QueuedJob) -> None:
        self._held -= 1
        self.add(job)

    def pick(self, worker: WorkerInfo) -> tuple[QueuedJob, ...]:
        self._drop_outdated()
        if not self._turns:
            return ()
        fair = self._turns[0]
        turn = self._preferred(fair, worker)
        self._skips = self._skips + 1 if turn is not fair else 0
        head = self._jobs[turn[1]]
        batch = (head, *self._companions(turn, fair[0] + LEAD))
        work = sum(job.cost for job in batch)
        self._work += work
        self._fluid.serve(work)
        return batch

    def _preferred(self, fair: _Turn, worker: WorkerInfo) -> _Turn:
        """The fair choice, or for a while one that suits better what the worker holds."""
        closeness = _closeness(self._jobs[fair[1]], worker)
        if self._skips >= MAX_SKIPS or worker.model is None or closeness == 2:
            return fair
        best, passed = fair, list[_Turn]()
        ahead, bearable = 0, float("inf")
        for turn in self._in_turn(fair[0] + LEAD):
            job = self._jobs[turn[1]]
            if _closeness(job, worker) > closeness and job.cost <= bearable:
                best, closeness = turn, _closeness(job, worker)
            passed.append(turn)
            ahead += job.cost
            bearable = min(bearable, self._patience(turn) - ahead)
            if len(passed) == WINDOW or closeness == 2 or bearable <= 0:
                break
        self._put_back(passed)
        return best

    def _companions(self, turn: _Turn, until: float) -> Iterator[QueuedJob]:
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
            if job.batch_key == head.batch_key and job.pixels <= room and not job.alone:
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
        insort(self._lines.setdefault(job.user_id, []), job.id)
        self._update_turn(job.user_id)
        self._tidy()

    def _take(self, job: QueuedJob) -> None:
        """Take out a job that will be served."""
        self._served[job.user_id] = self._current[job.user_id][0]
        self._forget(job)

    def _forget(self, job: QueuedJob) -> None:
        del self._jobs[job.id], self._came[job.id]
        line = self._lines[job.user_id]
        del line[bisect_left(line, job.id)]
        self._update_turn(job.user_id)
        if not self._jobs and not self._held:  # everybody had all that they wanted: nobody is ahead of anybody
            self._served.clear()

    def _update_turn(self, user_id: int) -> None:
        """Bring a person's turn up to date with the first of their jobs."""
        line = self._lines[user_id]
        if not line:
            del self._lines[user_id]
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


def _closeness(job: QueuedJob, worker: WorkerInfo) -> int:
    """0: another model, 1: the worker holds the model, 2: and the LoRAs too."""
    if job.model != worker.model:
        return 0
    return 2 if job.loras == worker.loras else 1
