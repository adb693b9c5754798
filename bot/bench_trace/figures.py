"""What a day tells of a fleet under one policy.

- *Utilisation*: the share of the workers' time, from the first hour until the last picture of the day, in which they
  work; loading models and switching LoRAs is part of it, and `switching` is the share of that part in what they do.
- *Wait*: from the order until it is drawn, so that a model that has to be loaded first is waited for as well.
- *Switches*: batches before which a worker had to load a model, and those before which it went over to other LoRAs.
  What affinity saves of them shows beside the same queue with workers that do not tell it what they hold.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from bot.bench_trace.day import MODELS
from bot.simulation.arrivals import DAY, Arrival
from bot.simulation.fleet import ServiceTimes, Working, work_through
from bot.simulation.policies import FirstComeFirstServed, Policy, RoundRobin, WithoutAffinity
from generation.job import Priority
from generation.queue.policy import FairQueue

POLICIES: Mapping[str, Callable[[], Policy]] = {
    "fair": FairQueue,
    "fair_without_affinity": lambda: WithoutAffinity(FairQueue()),
    "round_robin": RoundRobin,
    "fifo": FirstComeFirstServed,
}
# What fleets are looked for: 99 of 100 fast jobs wait no longer than so many seconds.
LONGEST_WAITS = (60, 600)
MOST_WORKERS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one day, fleet and policy; waits are of fast jobs."""

    policy: str
    workers: int
    utilisation: float
    switching: float
    p50_wait_seconds: float
    p99_wait_seconds: float
    batches: int
    model_switches: int
    lora_switches: int


def figures_of(
    arrivals: Sequence[Arrival], times: ServiceTimes, *, workers: int, policy: str = "fair", seed: int
) -> Figures:
    """Let the day pass."""
    tally = _Tally()
    run = work_through(
        arrivals, POLICIES[policy](), times, seed=seed, held=MODELS[0], workers=workers, on_batch=tally.batch_done
    )
    waits = [tally.drawn[each.job.id] - each.time for each in arrivals if each.job.priority is Priority.FAST]
    return Figures(
        policy=policy,
        workers=workers,
        utilisation=tally.busy / (workers * max(DAY, *run.ready.values())),
        switching=tally.loading / tally.busy,
        p50_wait_seconds=percentile(waits, 0.5),
        p99_wait_seconds=percentile(waits, 0.99),
        batches=tally.batches,
        model_switches=tally.model_switches,
        lora_switches=tally.lora_switches,
    )


def workers_needed(
    arrivals: Sequence[Arrival], times: ServiceTimes, *, seed: int, longest_waits: Sequence[int] = LONGEST_WAITS
) -> dict[int, int | None]:
    """The least number of workers with which 99 of 100 fast jobs wait at most so many seconds; None: no number is."""

    @cache
    def wait(workers: int) -> float:
        return figures_of(arrivals, times, workers=workers, seed=seed).p99_wait_seconds

    # With fewer than the day's work takes, backlogs grow from morning to night.
    fewest = max(1, math.ceil(sum(each.job.work for each in arrivals) * times.picture_seconds / DAY))
    return {seconds: _least(fewest, wait, seconds) for seconds in longest_waits}


def _least(fewest: int, wait: Callable[[int], float], longest: float) -> int | None:
    """The least number of workers, from `fewest` on, whose wait is at most the longest; more workers wait less."""
    most = fewest
    while wait(most) > longest:
        most *= 2
        if most > MOST_WORKERS:
            return None
    least = fewest - 1 if most == fewest else most // 2  # is not enough
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if wait(middle) <= longest else (middle, most)
    return most


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of these values that at least that share of them does not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


@dataclass(slots=True)
class _Tally:
    """What the workers did, and when each job was begun to be drawn."""

    busy: float = 0.0
    loading: float = 0.0
    batches: int = 0
    model_switches: int = 0
    lora_switches: int = 0
    drawn: dict[int, float] = field(default_factory=dict)

    def batch_done(self, done: Working) -> None:
        self.busy += done.ends - done.began
        self.loading += done.loading
        self.batches += 1
        self.model_switches += done.loads_model
        self.lora_switches += done.switches_loras
        self.drawn.update((job.id, done.began + done.loading) for job in done.batch)
