"""The bench of planning: its day is what it says, its workers take the time they are told, and more of them help."""

from __future__ import annotations

import json
import math
import statistics
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.bench_trace.bench import measure, run
from bot.bench_trace.day import MODELS, trace
from bot.bench_trace.figures import POLICIES, Figures, figures_of, percentile, workers_needed
from bot.bench_trace.times import H200, H200_TFLOP_PER_SECOND, POCKET, NotFigures, measured, read
from bot.simulation.arrivals import DAY, HOUR, HOURS, KINDS, Arrival, job_of
from bot.simulation.fleet import ServiceTimes, Working, work_through
from bot.simulation.policies import FirstComeFirstServed
from generation.queue.queued import QueuedJob

ORDERS = 1500
# So slow that a few workers have enough to do with a small day.
SLOW = ServiceTimes(picture_seconds=12.0, batch_seconds=2.0, load_seconds=30.0, lora_switch_seconds=1.0)


@pytest.fixture(scope="module")
def arrivals() -> Sequence[Arrival]:
    return trace(1, orders=ORDERS)


@pytest.fixture(scope="module")
def days(arrivals: Sequence[Arrival]) -> dict[tuple[str, int], Figures]:
    return {
        (policy, workers): figures_of(arrivals, SLOW, workers=workers, policy=policy, seed=1)
        for policy in POLICIES
        for workers in (1, 2, 16)
    }


def order(number: int, time: float, *, model: str = MODELS[0], loras: tuple[str, ...] = ()) -> Arrival:
    """One picture, of somebody who orders nothing else."""
    return Arrival(time=time, job=job_of(KINDS[1], "square", id=number, user_id=number, model=model, loras=loras))


def test_the_same_seed_is_the_same_day() -> None:
    assert trace(7, orders=100) == trace(7, orders=100) != trace(8, orders=100)


def test_orders_follow_the_hours_and_come_in_bursts() -> None:
    days = [trace(seed, orders=ORDERS) for seed in range(10)]
    assert statistics.mean(map(len, days)) == pytest.approx(ORDERS, rel=0.05)
    hours = Counter(int(each.time // HOUR) for day in days for each in day)
    assert min(HOURS[hour] for hour, _ in hours.most_common(4)) >= 9  # the evening's
    # Of a Poisson process without bursts the variance of a count is its mean.
    minutes = [Counter(int(each.time // 300) for each in day if 18 <= each.time // HOUR < 21) for day in days]
    counts = [minute[place] for minute in minutes for place in range(18 * 12, 21 * 12)]
    assert statistics.variance(counts) > 2 * statistics.mean(counts)
    assert all(0 <= each.time < DAY for day in days for each in day)


def test_models_are_asked_for_by_their_rank(arrivals: Sequence[Arrival]) -> None:
    asked = Counter(each.job.model for each in arrivals)
    assert asked[MODELS[1]] / asked[MODELS[0]] == pytest.approx(2**-1.5, abs=0.08)
    loras = Counter(each.job.loras for each in arrivals if each.job.loras)
    assert loras[("lora 1",)] == max(loras.values())
    assert sum(loras.values()) / len(arrivals) == pytest.approx(0.45, abs=0.05)


def test_a_worker_takes_the_seconds_of_what_it_lacks() -> None:
    times = replace(SLOW, spread=0.0)
    arrivals = [
        order(1, 0.0),
        order(2, 100.0, loras=("ink",)),
        order(3, 200.0, loras=("ink",)),
        order(4, 300.0, model=MODELS[1]),
        order(5, 500.0, model=MODELS[2], loras=("ink",)),
    ]
    done: list[Working] = []
    ran = work_through(arrivals, FirstComeFirstServed(), times, seed=1, held=MODELS[0], on_batch=done.append)
    assert [each.loading for each in done] == [0.0, 1.0, 0.0, 30.0, 31.0]
    assert ran.ready == {1: 14.0, 2: 115.0, 3: 214.0, 4: 344.0, 5: 545.0}


def test_models_that_are_held_are_not_loaded_again() -> None:
    models = [MODELS[number] for number in (1, 0, 1, 2, 1, 0)]
    arrivals = [order(number, 100.0 * number, model=model) for number, model in enumerate(models)]
    loaded = {}
    for held in (1, 2, 3):
        done: list[Working] = []
        times = replace(SLOW, models_held=held)
        work_through(arrivals, FirstComeFirstServed(), times, seed=1, held=MODELS[0], on_batch=done.append)
        loaded[held] = [each.loads_model for each in done]
    assert loaded == {
        1: [True, True, True, True, True, True],
        2: [True, False, False, True, False, True],
        3: [True, False, False, True, False, False],
    }


def test_workers_work_at_the_same_time() -> None:
    times = replace(SLOW, spread=0.0)
    arrivals = [order(number, 0.0, loras=(f"lora {number}",)) for number in range(1, 6)]
    ran = work_through(arrivals, FirstComeFirstServed(), times, seed=1, held=MODELS[0], workers=2)
    assert ran.began == {1: 0.0, 2: 0.0, 3: 15.0, 4: 15.0, 5: 30.0}
    assert ran.held_up == {1: 0.0, 2: 0.0, 3: 15.0, 4: 15.0, 5: 15.0}


def test_first_come_first_served_is_what_it_was_in_plain_words(arrivals: Sequence[Arrival]) -> None:
    """The bench's own keeps jobs by what they share; this one looks through all that wait."""

    class Plain(FirstComeFirstServed):
        def pick(self, worker: object) -> tuple[QueuedJob, ...]:
            waiting = sorted(
                (job for lane in self._lanes.values() for job in lane.values()), key=lambda job: (job.priority, job.id)
            )
            batch: list[QueuedJob] = []
            room = 1
            for job in waiting:
                fits = not batch or (job.batch_key == batch[0].batch_key and job.pixels <= room)
                if room > 0 and fits and (not batch or job.priority == batch[0].priority):
                    room = (room if batch else job.room) - job.pixels
                    batch.append(job)
                    del self._lanes[job.priority][job.id]
            return tuple(batch)

    runs = [work_through(arrivals, queue, SLOW, seed=1, held=MODELS[0]) for queue in (FirstComeFirstServed(), Plain())]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("policy", POLICIES)
def test_more_workers_wait_more_and_people_less(days: dict[tuple[str, int], Figures], policy: str) -> None:
    one, two, many = (days[policy, workers] for workers in (1, 2, 16))
    assert 1 >= one.utilisation > two.utilisation > many.utilisation > 0
    assert one.p99_wait_seconds > two.p99_wait_seconds > many.p99_wait_seconds
    assert all(each.p50_wait_seconds <= each.p99_wait_seconds for each in (one, two, many))
    assert all(0 < each.switching < 1 for each in (one, two, many))


def test_affinity_saves_loading_where_people_wait(days: dict[tuple[str, int], Figures]) -> None:
    for workers in (1, 2):
        kept = days["fair", workers]
        assert all(
            kept.model_switches < 0.8 * days[policy, workers].model_switches for policy in POLICIES if policy != "fair"
        )
        assert kept.p50_wait_seconds < days["fair_without_affinity", workers].p50_wait_seconds


def test_the_workers_needed_are_enough_and_no_more(arrivals: Sequence[Arrival]) -> None:
    fleets = workers_needed(arrivals, SLOW, seed=1)
    few, many = fleets[600], fleets[60]
    assert few is not None
    assert many is not None
    assert 1 < few < many
    for seconds, needed in ((600, few), (60, many)):
        less, enough = (figures_of(arrivals, SLOW, workers=count, seed=1) for count in (needed - 1, needed))
        assert less.p99_wait_seconds > seconds >= enough.p99_wait_seconds
    # Where models that take so long have to be loaded, no number is enough.
    assert workers_needed(arrivals[:50], replace(SLOW, load_seconds=100.0), seed=1)[60] is None


def test_percentiles_are_values_that_were_there() -> None:
    assert [percentile([5, 1, 4, 2, 3], share) for share in (0.01, 0.5, 0.6, 0.61, 1)] == [1, 3, 3, 4, 5]


def test_service_times_are_read_from_the_machines_bench() -> None:
    figures = {
        "single_images_per_second": 1 / 2.5,  # 0.5 s, and 2 s a picture
        "batch_images_per_second": 4 / 8.5,
        "load_seconds": 7.0,
        "lora_switch_ms": 40.0,
    }
    times = measured(figures)
    assert times.picture_seconds == pytest.approx(2.0)
    assert times.batch_seconds == pytest.approx(0.5)
    assert (times.load_seconds, times.lora_switch_seconds) == (7.0, 0.04)
    slow_batches = measured(figures | {"batch_images_per_second": 4 / 12, "lora_switch_ms": None})
    assert (slow_batches.picture_seconds, slow_batches.batch_seconds) == (3.0, 0.0)
    assert slow_batches.lora_switch_seconds == 0


@pytest.mark.parametrize("text", ["{}", "[]", "no JSON", '{"single_images_per_second": 0}', "null"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "times.json"
    path.write_text(text)
    with pytest.raises(NotFigures):
        read(path)
    with pytest.raises(NotFigures):
        read(tmp_path / "none.json")


def test_the_published_figures_come_back_out_of_the_h200() -> None:
    steps_per_second = 60 * 6.761 / (H200.picture_seconds * H200_TFLOP_PER_SECOND) * 18.5
    assert steps_per_second == pytest.approx(18.5, rel=0.03)  # the VAE and the text encoders take the rest
    assert 30 / 18.5 < H200.picture_seconds < 1.1 * 30 / 18.5


def test_the_bench_prints_one_object(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    path.write_text(json.dumps(POCKET))
    run(json=True, orders=60, times=read(path))
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"seed", "orders", "work", "profiles"}
    (profile,) = found["profiles"].values()
    assert profile["workers_needed"] == {"60": 1, "600": 1}
    assert {entry["workers"] for entry in profile["runs"]} == {1, 2, 4, 8, 16, 32, 64}
    assert {entry["policy"] for entry in profile["runs"]} == set(POLICIES)
    fair = [entry for entry in profile["runs"] if entry["policy"] == "fair"]
    assert all({"model_switches_saved", "lora_switches_saved"} < set(entry) for entry in fair)

    run(json=False, orders=20, times=measured(POCKET))
    assert "fifo" in capsys.readouterr().out


def test_what_affinity_saves_is_the_difference() -> None:
    (profile,) = measure({"slow": SLOW}, orders=300, workers=(1,))["profiles"].values()
    fair, without = profile["runs"][0], profile["runs"][1]
    assert fair["model_switches_saved"] == without["model_switches"] - fair["model_switches"] > 0
    assert not math.isnan(fair["p99_wait_seconds"])


def test_the_plots_are_pictures() -> None:
    from bot.bench_trace.plots import community, switches, utilisation, waits

    runs = measure({"slow": SLOW}, orders=120)["profiles"]["slow"]["runs"]
    for plot in (
        waits(runs),
        utilisation(runs),
        switches(runs),
        community({60: [(100, 1), (1000, 3)], 600: [(100, 1), (1000, 2)]}),
    ):
        assert ET.fromstring(plot.svg()).tag.endswith("svg")
