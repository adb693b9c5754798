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

from collections.abc import Iterable, Sequence

from generation.engine.protocol import WorkerInfo
from generation.job import Priority
from generation.queue.lane import Lane
from generation.queue.placement import best_placed
from generation.queue.queued import QueuedJob

__all__ = ["FairQueue", "QueuedJob"]


class FairQueue:
    """The jobs that wait. Pure and synchronous; the same calls give the same picks.

    Costs are in credits, at least 1. Where n people wait, adding and removing take O(log n) in the mean (a person's own
    jobs are a sorted list, too short to matter). A pick looks at `WINDOW` of them, and to know how long these may be
    delayed, at sums over all, which are kept (`prefix_sums.py`): with a hundred thousand jobs it takes no longer than
    with a hundred, to within some ten microseconds.
    """

    def __init__(self) -> None:
        self._lanes = {priority: Lane() for priority in Priority}
        self._jobs: dict[int, QueuedJob] = {}
        self._paused: set[int] = set()  # servers
        self._all_paused = False
        self._held: dict[int, QueuedJob] = {}  # those jobs that wait in no lane, because their server is paused

    def __len__(self) -> int:
        return len(self._jobs)

    def depths(self) -> dict[Priority, int]:
        """How many jobs wait in each priority class, paused ones too."""
        return {priority: lane.depth for priority, lane in self._lanes.items()}

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

    def find(self, job_id: int) -> QueuedJob | None:
        """A job that waits, or None."""
        return self._jobs.get(job_id)

    def turn(self, job_id: int) -> float:
        """Where a job that is not paused stands in the fair order of its class: the smaller, the sooner."""
        job = self._jobs[job_id]
        return self._lanes[job.priority].turn(job)

    def served(self, job: QueuedJob) -> float:
        """For a job that was just picked: where what was picked last of its owner stood in that order."""
        return self._lanes[job.priority].served(job.user_id)

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
        job = self._take_out(job_id)
        if job is not None:
            self._lanes[job.priority].remove(job)
        return job is not None

    def serve(self, job_id: int) -> bool:
        """Take a job out that another program runs: its owner is served as if it had been picked here.

        False: it does not wait here.
        """
        job = self._take_out(job_id)
        if job is not None:
            self._lanes[job.priority].serve(job)
        return job is not None

    def first(self) -> QueuedJob | None:
        """The fair choice among those that may be picked; None if there are none."""
        if self._all_paused:
            return None
        return next((job for lane in self._lanes.values() if (job := lane.first()) is not None), None)

    def place(self, idle: Sequence[WorkerInfo]) -> WorkerInfo:
        """Of these idle workers, at least one, the one to `pick` for: it holds most of what the fair choice needs."""
        first = self.first()
        return idle[0] if first is None else best_placed(first, idle)

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

    def unfilled_batch(self, worker: WorkerInfo) -> tuple[QueuedJob, ...]:
        """All the jobs that may be picked, where they share one forward pass that has room for more; () otherwise."""
        if self._all_paused:
            return ()
        batch: list[QueuedJob] = []
        room = 0
        for lane in self._lanes.values():
            for job in lane.waiting():
                if not batch:
                    room = job.room
                first = batch[0] if batch else job
                room -= job.pixels
                if room <= 0 or job.priority is not first.priority or not job.shares_pass(first, worker):
                    return ()
                batch.append(job)
        return tuple(batch)

    def _take_out(self, job_id: int) -> QueuedJob | None:
        """A job that waited until now, in its lane whether it was paused or not; None: it did not wait here."""
        job = self._jobs.pop(job_id, None)
        if job is not None and self._held.pop(job_id, None) is not None:
            self._lanes[job.priority].release(job)
        return job

    def _hold(self, job: QueuedJob) -> None:
        self._held[job.id] = job
        self._lanes[job.priority].hold(job)
