"""What would be fair to the last bit of work: a machine that serves everybody who waits at once, in equal parts.

Generalised processor sharing (Parekh and Gallager 1993, "A generalized processor sharing approach to flow control in
integrated services networks"). No machine can do it, because a picture is drawn whole, but it tells in which order jobs
ought to be ready: their *virtual finish*. It needs no clock: it is told of work, in credits, as that is given away.
"""

from __future__ import annotations

import heapq

from generation.queue.prefix_sums import PrefixSums

SMALL = 16  # entries of a heap that need no tidying


class Fluid:
    """The virtual time, which is how much each of those who wait has been served since the beginning, in credits.

    It passes the slower, the more people wait. Each verb takes O(log n) in the mean, and the square root of n where its
    sums are kept; with a hundred thousand people that is some ten microseconds.
    """

    def __init__(self) -> None:
        self.time = 0.0
        self._done: dict[int, float] = {}  # who is being served, and until which virtual time
        self._next: list[tuple[float, int]] = []  # heap of these; an entry counts while it is in `_done` as it stands
        self._sums: PrefixSums | None = None  # of all that is in `_done`, once somebody asked

    def copy(self) -> Fluid:
        """An independent one in the same state."""
        twin = Fluid()
        twin.time, twin._done = self.time, dict(self._done)
        twin._next = [(done, user_id) for user_id, done in self._done.items()]  # without those that no longer count
        heapq.heapify(twin._next)
        return twin

    def work_until(self, time: float) -> float:
        """How much work is given away until that virtual time, if nobody wants more than they do now."""
        self._drop_done()
        if self._sums is None:
            self._sums = PrefixSums(self._done.values())
        less, sum_ = self._sums.until(time)
        return sum_ + (len(self._done) - less) * time - len(self._done) * self.time

    def add(self, user_id: int, cost: int) -> None:
        """Somebody wants that much more."""
        self._set(user_id, max(self._done.get(user_id, 0.0), self.time) + cost)

    def remove(self, user_id: int, cost: int) -> None:
        """Somebody wants that much less; what they were served of it remains served."""
        if user_id not in self._done:
            return
        done = self._done[user_id] - cost
        if done > self.time:
            self._set(user_id, done)
        else:
            self._leave(user_id)
            self._tidy()

    def serve(self, work: float) -> None:
        """Give that much work away. What nobody wants is lost."""
        while work > 0 and self._drop_done():
            until = self._next[0][0]
            needed = (until - self.time) * len(self._done)
            if needed > work:
                self.time += work / len(self._done)
                return
            work -= needed
            self.time = until

    def _set(self, user_id: int, done: float) -> None:
        if self._sums is not None:
            if user_id in self._done:
                self._sums.remove(self._done[user_id])
            self._sums.add(done)
        self._done[user_id] = done
        heapq.heappush(self._next, (done, user_id))
        self._tidy()

    def _tidy(self) -> None:
        """Keep what no longer counts from outgrowing what does, where nothing is ever served."""
        if len(self._next) > 2 * len(self._done) + SMALL:
            self._next = [(done, user_id) for user_id, done in self._done.items()]
            heapq.heapify(self._next)

    def _drop_done(self) -> bool:
        """Let go of those who have been served all they wanted; whether anybody is left."""
        while self._next:
            done, user_id = self._next[0]
            if self._done.get(user_id) == done:
                if done > self.time:
                    return True
                self._leave(user_id)
            heapq.heappop(self._next)
        return False

    def _leave(self, user_id: int) -> None:
        done = self._done.pop(user_id)
        if self._sums is not None:
            self._sums.remove(done)
