"""The fair queue, tried with everything that hypothesis can think of."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.engine.protocol import WorkerInfo, WorkerState
from generation.job import Priority
from generation.queue.lane import LEAD, MAX_SKIPS, PATIENCE
from generation.queue.policy import FairQueue, QueuedJob

ROOM = 4
MAX_COST = 12
MODELS = ("sdxl", "pocket")


def worker(model: str | None = None, loras: tuple[str, ...] = ()) -> WorkerInfo:
    return WorkerInfo(name="here/cpu", device="cpu", state=WorkerState.IDLE, model=model, loras=loras)


def job(
    job_id: int,
    user_id: int = 1,
    *,
    cost: int = 1,
    model: str = "sdxl",
    loras: tuple[str, ...] = (),
    priority: Priority = Priority.FAST,
    pixels: int = 1,
    room: int = ROOM,
    alone: bool = False,
    guild_id: int | None = None,
) -> QueuedJob:
    return QueuedJob(
        id=job_id,
        user_id=user_id,
        priority=priority,
        cost=cost,
        model=model,
        loras=loras,
        batch_key=(model, loras),
        pixels=pixels,
        room=room,
        work=float(pixels),
        alone=alone,
        guild_id=guild_id,
    )


@st.composite
def many_jobs(draw: st.DrawFn, *, priorities: bool = False, people: int = 5, most: int = 40) -> list[QueuedJob]:
    count = draw(st.integers(1, most))
    return [
        job(
            job_id,
            draw(st.integers(1, people)),
            cost=draw(st.integers(1, MAX_COST)),
            model=draw(st.sampled_from(MODELS)),
            loras=draw(st.sampled_from([(), ("neon",)])),
            priority=draw(st.sampled_from(list(Priority))) if priorities else Priority.FAST,
            pixels=draw(st.integers(1, 2 * ROOM)),
            alone=draw(st.integers(0, 5)) == 0,
            guild_id=draw(st.sampled_from([None, 7, 8])),
        )
        for job_id in range(1, count + 1)
    ]


def filled(jobs: list[QueuedJob]) -> FairQueue:
    queue = FairQueue()
    for each in jobs:
        queue.add(each)
    return queue


def drained(queue: FairQueue, *, held: WorkerInfo | None = None) -> list[tuple[QueuedJob, ...]]:
    """The batches that one worker gets until nothing waits; with `held` it always seems to hold the same."""
    holds = held or worker()
    batches = []
    while batch := queue.pick(holds):
        batches.append(batch)
        holds = held or worker(batch[0].model, batch[0].loras)
    assert len(queue) == 0
    return batches


def turns(queue: FairQueue) -> list[int]:
    """Whose jobs are picked, one after the other, by a worker that holds nothing."""
    queue = queue.copy()
    return [batch[0].user_id for batch in iter(lambda: queue.pick(worker()), ())]


def ids(batches: list[tuple[QueuedJob, ...]]) -> list[list[int]]:
    return [[each.id for each in batch] for batch in batches]


def test_two_people_take_turns_however_much_one_of_them_orders() -> None:
    queue = filled([*(job(n, 1, model="a", pixels=ROOM) for n in range(1, 9)), job(9, 2, model="a", pixels=ROOM)])
    assert ids(drained(queue))[:3] == [[1], [9], [2]]


def test_a_newcomer_is_neither_ahead_of_nor_behind_those_who_wait() -> None:
    queue = filled([job(n, user, pixels=ROOM) for n, user in enumerate([1, 1, 1, 1, 2, 2, 2, 2], start=1)])
    for _ in range(4):
        queue.pick(worker())
    queue.add(job(20, 3, pixels=ROOM))
    queue.add(job(21, 3, pixels=ROOM))
    served = [queue.pick(worker())[0].user_id for _ in range(6)]
    assert served == [1, 2, 3, 1, 2, 3]


def test_equal_orders_of_several_people_share_a_batch() -> None:
    queue = filled([job(1, 1), job(2, 2, model="other"), job(3, 3), job(4, 4), job(5, 5), job(6, 6)])
    assert ids(drained(queue, held=worker())) == [[1, 3, 4, 5], [2], [6]]


def test_a_job_too_large_for_a_batch_runs_all_the_same() -> None:
    assert ids(drained(filled([job(1, 1, pixels=100, cost=100), job(2, 2)]))) == [[2], [1]]


def test_a_job_that_failed_before_takes_no_company() -> None:
    assert ids(drained(filled([job(1, 1, alone=True), job(2, 2), job(3, 3)]))) == [[1], [2, 3]]


def test_the_model_at_hand_is_preferred_a_few_times_and_no_more() -> None:
    queue = filled([job(1, 1, model="other"), *(job(n, n, pixels=ROOM, cost=2) for n in range(2, 12))])
    order = [batch[0].id for batch in drained(queue, held=worker("sdxl"))]
    assert order.index(1) == MAX_SKIPS


def test_the_loras_at_hand_are_preferred_among_jobs_of_one_model() -> None:
    queue = filled([job(1, 1), job(2, 2, loras=("neon",))])
    assert queue.pick(worker("sdxl", ("neon",)))[0].id == 2


def test_nobody_owes_for_what_they_drew_while_nobody_else_wanted_to() -> None:
    queue = FairQueue()
    for n in range(1, 50):
        queue.add(job(n, 1, cost=MAX_COST, pixels=ROOM))
        queue.pick(worker())
    for n in range(100, 110):
        queue.add(job(n, 1, pixels=ROOM))
        queue.add(job(n + 100, 2, pixels=ROOM))
    users = [batch[0].user_id for batch in drained(queue)]
    assert users == [1, 2] * 10


def test_who_orders_large_jobs_gets_fewer_of_them() -> None:
    queue = filled(
        [*(job(n, 1, cost=8, pixels=ROOM) for n in range(1, 5)), *(job(n, 2, pixels=ROOM) for n in range(5, 30))]
    )
    assert [batch[0].user_id for batch in drained(queue)][:18] == [2] * 7 + [1] + [2] * 8 + [1] + [2]


def test_somebody_in_two_servers_gets_no_more_than_somebody_in_one() -> None:
    queue = filled([job(n, 1 + n % 2, guild_id=7 if n % 4 else 8, pixels=ROOM) for n in range(1, 21)])
    assert Counter(queue.pick(worker())[0].user_id for _ in range(10)) == {1: 5, 2: 5}


def test_a_job_given_back_is_the_first_of_its_owner_and_not_charged() -> None:
    queue = filled([job(1, 1, pixels=ROOM, cost=5), job(2, 1, pixels=ROOM), job(3, 2, cost=5, pixels=ROOM)])
    (picked,) = queue.pick(worker())
    queue.give_back(picked)
    assert ids(drained(queue)) == [[1], [3], [2]]


@given(st.permutations(range(1, 4)), st.tuples(*[st.integers(1, 3)] * 3))
def test_several_jobs_given_back_cost_their_owner_nothing_in_whatever_order(
    order: list[int], costs: tuple[int, ...]
) -> None:
    mine = [job(n, 1, cost=cost) for n, cost in enumerate(costs, start=1)]
    others = [job(n, n, cost=3, model="other", pixels=ROOM) for n in range(4, 12)]
    queue = filled([*mine, *others])
    batch = {each.id for each in queue.pick(worker("sdxl"))}
    alone = {each.id: replace(each, alone=each.id in batch) for each in mine}  # as after a failure
    for job_id in order:
        if job_id in batch:
            queue.give_back(alone[job_id])
    assert turns(queue) == turns(filled([*alone.values(), *others]))


def test_who_is_given_back_while_their_server_is_paused_is_not_charged() -> None:
    firsts = [job(n, n, cost=6, pixels=ROOM, guild_id=7 if n == 1 else None) for n in range(1, 12)]
    queue = filled([*firsts, *(job(100 + n, n, cost=4, pixels=ROOM) for n in range(2, 12))])
    (picked,) = queue.pick(worker())
    queue.pause(7)
    queue.give_back(picked)
    queue.resume(7)
    assert turns(queue).index(1) == 10  # after the first job of each of the others, and before their second


def test_a_pause_makes_nobody_forget_who_was_served() -> None:
    queue = filled([job(1, 1, cost=8, pixels=ROOM), *(job(n, 2, cost=8, guild_id=7, pixels=ROOM) for n in (2, 3))])
    assert queue.pick(worker())[0].id == 1
    queue.pause(7)
    queue.resume(7)
    queue.add(job(4, 1, cost=6, pixels=ROOM))
    assert [queue.pick(worker())[0].id for _ in range(3)] == [2, 4, 3]


def test_orders_that_are_called_off_leave_nothing_behind_where_nothing_is_ever_picked() -> None:
    def size_after(orders: int) -> int:
        queue = filled([job(1, 1, cost=9, priority=Priority.RELAX)])
        for n in range(2, orders):
            queue.add(job(n, 1 + n % 7, cost=1 + n % 5, priority=Priority.RELAX))
            queue.remove(n)
        return len(pickle.dumps(queue))

    assert size_after(5000) < 2 * size_after(200)


@given(many_jobs(priorities=True))
def test_every_batch_could_be_one_forward_pass(jobs: list[QueuedJob]) -> None:
    for batch in drained(filled(jobs)):
        assert len({each.batch_key for each in batch}) == 1
        assert len({each.priority for each in batch}) == 1
        assert len(batch) == 1 or sum(each.pixels for each in batch) <= ROOM
        assert len(batch) == 1 or not any(each.alone for each in batch)


@given(many_jobs(priorities=True))
def test_everything_runs_once_and_classes_never_mix(jobs: list[QueuedJob]) -> None:
    order = [each for batch in drained(filled(jobs)) for each in batch]
    assert sorted(each.id for each in order) == [each.id for each in jobs]
    assert [each.priority for each in order] == sorted(each.priority for each in jobs)


@given(many_jobs(), st.permutations(range(40)))
def test_a_persons_jobs_run_in_their_order_however_they_were_added(jobs: list[QueuedJob], order: list[int]) -> None:
    queue = filled([jobs[n] for n in order if n < len(jobs)])
    last: Counter[int] = Counter()
    for batch in drained(queue):
        for each in batch:
            assert each.id > last[each.user_id]
            last[each.user_id] = each.id


@given(many_jobs())
def test_people_who_wait_are_served_about_the_same(jobs: list[QueuedJob]) -> None:
    """Served cost differs by a bound that does not grow with the queue, while two people both wait."""
    queue = filled(jobs)
    left = Counter(each.user_id for each in jobs)
    served: Counter[int] = Counter()
    holds = worker()
    while batch := queue.pick(holds):
        waiting = [user_id for user_id, count in left.items() if count]
        costs = [served[user_id] for user_id in waiting]
        assert max(costs) - min(costs) <= LEAD + MAX_COST
        for each in batch:
            served[each.user_id] += each.cost
            left[each.user_id] -= 1
        holds = worker(batch[0].model, batch[0].loras)


# What happens to a queue: an order of so much by somebody, or a pick.
happenings = st.lists(st.tuples(st.integers(1, 5), st.integers(1, MAX_COST)) | st.none(), min_size=1, max_size=60)


class Ideal:
    """A machine that serves all who wait at once, written down as plainly as can be, in exact numbers."""

    def __init__(self) -> None:
        self.lines: dict[int, list[tuple[int, Fraction]]] = {}
        self.served = Fraction(0)
        self.ready: dict[int, Fraction] = {}  # job → all that was served until it was ready

    def add(self, each: QueuedJob) -> None:
        self.lines.setdefault(each.user_id, []).append((each.id, Fraction(each.cost)))

    def serve(self, work: Fraction) -> None:
        while work and self.lines:
            each = min(work / len(self.lines), *(line[0][1] for line in self.lines.values()), work)
            self.served += each * len(self.lines)
            work -= each * len(self.lines)
            for user_id, line in list(self.lines.items()):
                job_id, left = line.pop(0)
                if left > each:
                    line.insert(0, (job_id, left - each))
                else:
                    self.ready[job_id] = self.served
                    if not line:
                        del self.lines[user_id]


def lateness(happened: list[tuple[int, int] | None], *, mixed: bool) -> list[tuple[Fraction, Fraction]]:
    """For each job the work that was done from its order until it was ready: on the ideal machine, and by the queue."""
    queue, ideal, came, ready, done = FairQueue(), Ideal(), dict[int, int](), dict[int, int](), 0
    holds = worker("sdxl")
    job_id = 0
    for happening in [*happened, *[None] * len(happened)]:
        if happening is not None:
            job_id += 1
            model, pixels = (MODELS[job_id % 2], 1 + job_id % 3) if mixed else ("sdxl", ROOM)
            new = job(job_id, happening[0], cost=happening[1], model=model, pixels=pixels)
            queue.add(new)
            ideal.add(new)
            came[job_id] = done
        elif batch := queue.pick(holds):
            work = sum(each.cost for each in batch)
            done += work
            ready |= {each.id: done for each in batch}
            ideal.serve(Fraction(work))
            holds = worker(batch[0].model)
    assert set(ready) == set(ideal.ready) == set(came)
    return [(ideal.ready[each] - came[each], Fraction(ready[each] - came[each])) for each in ready]


@given(happenings)
def test_a_job_is_ready_when_the_ideal_machine_would_have_it_but_for_one_that_cannot_be_interrupted(
    happened: list[tuple[int, int] | None],
) -> None:
    """The theorem of weighted fair queueing (Parekh and Gallager 1993)."""
    assert all(real <= ideal + MAX_COST for ideal, real in lateness(happened, mixed=False))


@given(happenings)
def test_batches_and_models_delay_a_job_within_bounds(happened: list[tuple[int, int] | None]) -> None:
    for ideal, real in lateness(happened, mixed=True):
        assert real <= PATIENCE * float(ideal) + LEAD + 2 * MAX_COST


@given(many_jobs(most=25), st.integers(0, 2**32))
def test_nobody_starves_whatever_others_go_on_ordering(jobs: list[QueuedJob], seed: int) -> None:
    """Twenty people have always something waiting, of whatever size; everybody else is served all the same."""
    queue = filled(jobs)
    chance = random.Random(seed)
    waiting = {each.id for each in jobs}
    always = Counter[int]()
    number = 1000
    for _ in range(60 * len(jobs)):
        for user_id in range(10, 30):
            if always[user_id] == 0:
                number += 1
                queue.add(job(number, user_id, cost=chance.randint(1, MAX_COST), pixels=ROOM))
                always[user_id] += 1
        batch = queue.pick(worker("sdxl"))
        for each in batch:
            always[each.user_id] -= 1
        waiting -= {each.id for each in batch}
        if not waiting:
            return
    pytest.fail(f"still waiting: {waiting}")


@given(many_jobs(most=25))
def test_company_makes_nobody_wait_for_a_later_batch(jobs: list[QueuedJob]) -> None:
    """Each job runs in the same turn as without batching, or in an earlier one."""
    together = drained(filled(jobs), held=worker())
    singly = drained(filled([job(j.id, j.user_id, cost=j.cost, alone=True) for j in jobs]), held=worker())
    turn = {each.id: number for number, batch in enumerate(together) for each in batch}
    for number, (each,) in enumerate(singly):
        assert turn[each.id] <= number


@given(many_jobs(priorities=True, most=15), st.data())
def test_anything_may_be_removed_or_given_back_at_any_time(jobs: list[QueuedJob], data: st.DataObject) -> None:
    queue = FairQueue()
    waiting: dict[int, QueuedJob] = {}
    picked: dict[int, QueuedJob] = {}
    todo = list(jobs)
    for _ in range(3 * len(jobs)):
        action = data.draw(st.sampled_from(["add", "remove", "pick", "give back"]))
        if action == "add" and todo:
            each = todo.pop()
            queue.add(each)
            waiting[each.id] = each
        elif action == "remove":
            job_id = data.draw(st.integers(1, len(jobs)))
            assert queue.remove(job_id) is (waiting.pop(job_id, None) is not None)
        elif action == "pick":
            batch = queue.pick(worker(data.draw(st.sampled_from([None, *MODELS]))))
            assert bool(batch) is bool(waiting)
            for each in batch:
                picked[each.id] = waiting.pop(each.id)
        elif action == "give back" and picked:
            _, each = picked.popitem()
            queue.give_back(each)
            waiting[each.id] = each
        assert len(queue) == len(waiting)
    assert {each.id for batch in drained(queue) for each in batch} == set(waiting)


@given(many_jobs(priorities=True), st.integers(0, 10))
def test_a_copy_tells_what_will_be_picked_and_changes_nothing(jobs: list[QueuedJob], picks: int) -> None:
    queue = filled(jobs)
    for _ in range(picks):
        queue.pick(worker())
    assert drained(queue.copy()) == drained(queue)


def test_a_paused_servers_jobs_wait_and_others_go_on() -> None:
    queue = filled([job(1, 1, guild_id=7, pixels=ROOM), job(2, 1, guild_id=8, pixels=ROOM), job(3, 2, pixels=ROOM)])
    queue.pause(7)
    queue.add(job(4, 3, guild_id=7, pixels=ROOM))
    assert queue.ready
    assert [queue.pick(worker())[0].id for _ in range(2)] == [2, 3]
    assert (queue.ready, len(queue), queue.pick(worker())) == (False, 2, ())
    assert [queue.paused(job_id) for job_id in (1, 4, 2)] == [True, True, False]
    queue.resume(7)
    assert ids(drained(queue)) == [[1], [4]]


def test_all_may_be_paused_and_a_server_stays_so_when_all_go_on() -> None:
    queue = filled([job(1, 1, guild_id=7), job(2, 2, model="other")])
    queue.pause(7)
    queue.pause(None)
    assert (queue.ready, queue.paused(1), queue.paused(2), queue.pick(worker())) == (False, True, True, ())
    assert ids(drained(queue.resumed())) == [[1], [2]]
    queue.resume(None)
    assert queue.pick(worker())[0].id == 2
    assert not queue.ready


def test_a_paused_job_may_be_called_off_or_given_back() -> None:
    queue = filled([job(1, 1, guild_id=7, pixels=ROOM), job(2, 2, guild_id=7, pixels=ROOM)])
    (picked,) = queue.pick(worker())
    queue.pause(7)
    queue.give_back(picked)
    assert queue.remove(2)
    assert not queue.ready
    queue.resume(7)
    assert ids(drained(queue)) == [[1]]


@given(many_jobs(priorities=True), st.integers(0, 10), st.sets(st.sampled_from([None, 7, 8])))
def test_pausing_and_resuming_loses_nothing(jobs: list[QueuedJob], picks: int, paused: set[int | None]) -> None:
    queue = filled(jobs)
    for guild_id in paused:
        queue.pause(guild_id)
    early = [each for _ in range(picks) for each in queue.pick(worker())]
    assert not any(None in paused or each.guild_id in paused - {None} for each in early)
    for guild_id in paused:
        queue.resume(guild_id)
    late = [each for batch in drained(queue) for each in batch]
    assert sorted(each.id for each in (*early, *late)) == [each.id for each in jobs]


@given(many_jobs(), st.integers(0, 5), st.integers(0, 5))
def test_nobody_gains_turns_by_a_pause(jobs: list[QueuedJob], before: int, during: int) -> None:
    """Who was held back, or given back meanwhile, is served no more than those who waited all the time."""
    queue = filled(jobs)
    held = {each.user_id for each in jobs if each.guild_id == 7}
    left = Counter(each.user_id for each in jobs)
    served: Counter[int] = Counter()

    def pick() -> tuple[QueuedJob, ...]:
        waiting = {user_id for user_id, count in left.items() if count}
        batch = queue.pick(worker())
        for each in batch:
            served[each.user_id] += each.cost
            left[each.user_id] -= 1
        for one in waiting & held:
            for other in waiting - held:
                assert served[one] - served[other] <= LEAD + 2 * MAX_COST
        return batch

    last: tuple[QueuedJob, ...] = ()
    for _ in range(before):
        last = pick()
    queue.pause(7)
    for each in last:
        queue.give_back(each)
        served[each.user_id] -= each.cost
        left[each.user_id] += 1
    for _ in range(during):
        pick()
    queue.resume(7)
    while pick():
        pass
    assert not queue.ready
    assert not +left
