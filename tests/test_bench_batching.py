"""The bench of batching: whoever comes in its simulation is served, and its figures can be drawn."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest

from bot.bench_batching.bench import LOADS, curve, good_enough
from bot.bench_batching.plots import latency, throughput
from bot.bench_batching.serving import Arrival, BatchSeconds, arrivals_at, serve_in_batches, serve_joining

SECONDS = BatchSeconds({1: 1.0, 2: 1.5, 8: 4.5})
STEPS = 10


def alone(pictures: int, *, at: float = 0.0, user: int = 1) -> Arrival:
    return Arrival(time=at, user_id=user, pictures=pictures)


def test_what_a_batch_takes_lies_on_the_line_between_two_that_were_measured() -> None:
    assert [SECONDS(size) for size in (1, 2, 5, 8)] == pytest.approx([1.0, 1.5, 3.0, 4.5])
    assert SECONDS.most == 8


def test_orders_that_come_together_are_ready_together_unless_each_is_drawn_by_itself() -> None:
    arrivals = [alone(4, user=1), alone(4, user=2)]
    assert serve_in_batches(arrivals, SECONDS).p99 == pytest.approx(4.5)
    assert serve_in_batches(arrivals, SECONDS, together=False).p99 == pytest.approx(2.5 + 2.5)


def test_with_a_wait_also_those_share_a_batch_who_come_a_little_apart() -> None:
    arrivals = [alone(4, user=1), alone(4, user=2, at=0.1)]
    apart = serve_in_batches(arrivals, SECONDS)
    assert apart.p99 == pytest.approx(2.5 + 2.5 - 0.1)
    assert apart.in_a_pass == 4
    waited = serve_in_batches(arrivals, SECONDS, wait=1.0)
    assert waited.p99 == pytest.approx(0.1 + 4.5)
    assert waited.in_a_pass == 8


def test_a_worker_waits_no_longer_for_company_than_it_may() -> None:
    assert serve_in_batches([alone(1)], SECONDS, wait=0.7).p50 == pytest.approx(1.7)


def test_who_joins_leaves_after_their_last_step() -> None:
    served = serve_joining([alone(1), alone(1, at=0.5, user=2)], SECONDS, steps=STEPS)
    # Half of the way at the pace of one picture, the other half at that of two; and so the other way round.
    assert served.p50 == served.p99 == pytest.approx(0.5 + 0.75)


@pytest.mark.parametrize("load", [0.3, 0.8])
def test_everybody_is_served_and_no_faster_than_alone(load: float) -> None:
    arrivals = arrivals_at(load * 8 / 4.5, orders=300, seed=3)
    assert arrivals == arrivals_at(load * 8 / 4.5, orders=300, seed=3)
    for served in (
        serve_in_batches(arrivals, SECONDS),
        serve_in_batches(arrivals, SECONDS, together=False),
        serve_in_batches(arrivals, SECONDS, wait=0.5),
        serve_joining(arrivals, SECONDS, steps=STEPS),
    ):
        assert 1.0 <= served.p50 <= served.p99
        assert served.throughput <= 8 / 4.5


def test_the_figures_of_the_curve_can_be_drawn_and_batches_keep_up_where_single_orders_do_not() -> None:
    entries = curve(SECONDS, steps=STEPS, orders=300)
    assert [entry["load"] for entry in entries] == list(LOADS)
    assert all(one["images_per_second"] < other["images_per_second"] for one, other in pairwise(entries))
    busiest = entries[-1]
    assert busiest["batches"]["p99"] < busiest["alone"]["p99"]
    for plot in (latency({"curve": entries}), throughput({"curve": entries})):
        assert ET.fromstring(plot.svg()).tag.endswith("svg")


def test_what_is_good_enough() -> None:
    assert good_enough({"ratio_mixed_orders": 1.31, "max_mean_difference": 0.4})
    assert not good_enough({"ratio_mixed_orders": 1.29, "max_mean_difference": 0.4})
    assert not good_enough({"ratio_mixed_orders": 1.31, "max_mean_difference": 2.1})
