"""The bench of fairness: a smaller day holds its bounds too, and what it measures by is right."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from bot.bench_fairness.bench import good_enough
from bot.bench_fairness.day import MODELS, day
from bot.bench_fairness.figures import TIMES, Measured, jain, measure
from bot.bench_fairness.fluid import fair_day
from bot.bench_fairness.plots import promises, served, waits
from bot.simulation.arrivals import Arrival
from bot.simulation.fleet import work_through
from bot.simulation.policies import FirstComeFirstServed, Policy, RoundRobin
from generation.job import Priority
from generation.queue.policy import FairQueue


@pytest.fixture(scope="module")
def measured() -> Measured:
    """A day of fewer members, so that there is less of everything but the rush."""
    return measure(seed=3, members=700)


def arrival(job_id: int, user_id: int, time: float) -> Arrival:
    plain = day(1, members=20)[0].job
    return Arrival(time=time, job=replace(plain, id=job_id, user_id=user_id, priority=Priority.FAST))


def test_a_smaller_day_is_fair_too_and_its_waits_are_honest(measured: Measured) -> None:
    figures = measured.figures()
    assert set(figures) == {
        "jain", "jain_fifo", "jain_round_robin", "eta_median_error", "longest_fast_wait_over_fair",
    }  # fmt: skip
    assert good_enough(figures), figures
    assert figures["jain"] > max(figures["jain_fifo"], figures["jain_round_robin"])


def test_nobody_starves(measured: Measured) -> None:
    for outcome in measured.outcomes.values():
        assert set(outcome.run.ready) == {each.job.id for each in measured.arrivals}


def test_first_come_first_served_lets_some_wait_many_times_as_long(measured: Measured) -> None:
    assert max(measured.waits_over_fair(measured.outcomes["fifo"])) > 10


@pytest.mark.parametrize("policy", [FairQueue, FirstComeFirstServed, RoundRobin])
def test_each_policy_draws_each_job_once_and_fast_ones_first(policy: type[Policy]) -> None:
    arrivals = [replace(each, time=0.0) for each in day(5, members=60)]
    run = work_through(arrivals, policy(), TIMES, seed=1, held=MODELS[0])
    assert set(run.ready) == {each.job.id for each in arrivals}
    _, *rest = sorted(arrivals, key=lambda each: run.began[each.job.id])
    priorities = [each.job.priority for each in rest]  # the very first was picked when nobody else was there
    assert priorities == sorted(priorities)


def test_the_ideal_machine_serves_all_in_equal_parts() -> None:
    arrivals = [arrival(1, 1, 0.0), arrival(2, 1, 0.0), arrival(3, 2, 0.0), arrival(4, 3, 100.0)]
    fair = fair_day(arrivals, {1: 10.0, 2: 10.0, 3: 15.0, 4: 5.0})
    assert fair.ready == pytest.approx({1: 20.0, 3: 30.0, 2: 35.0, 4: 105.0})
    assert fair.wanting == {2: [(0.0, 30.0)], 1: [(0.0, 35.0)], 3: [(100.0, 105.0)]}
    away = fair_day(arrivals, {1: 10.0, 2: 10.0, 3: 15.0, 4: 5.0}, [(5.0, 15.0), (102.0, 104.0)])
    assert away.ready == pytest.approx({1: 30.0, 3: 40.0, 2: 45.0, 4: 107.0})


def test_jains_index() -> None:
    assert jain([3, 3, 3]) == pytest.approx(1)
    assert jain([9, 0, 0]) == pytest.approx(1 / 3)


def test_the_same_seed_is_the_same_day() -> None:
    assert day(7, members=50) == day(7, members=50) != day(8, members=50)


def test_the_plots_are_pictures(measured: Measured) -> None:
    for plot in (waits(measured), served(measured), promises(measured)):
        assert ET.fromstring(plot.svg()).tag.endswith("svg")
