"""What the processes of `python -m bot bench` are told, and how much is measured."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from bot.config import Config

Figures: TypeAlias = dict[str, float | None]

SUBJECTS = ("a red boat on the sea", "a blue house on grass", "a yellow cat in the snow", "a green tree on sand")
PATIENCE = 900.0  # seconds for anything: on a machine that is slower the figures would say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """How much is measured.

    `starts` of a bot; a `burst` of so many orders by so many `members`, then `single_orders`; orders `enqueued` without
    Discord; `pictures` a turn and `rounds` of turns of the painter. `warm_up` grids of four are ordered before a burst,
    so that the worker is busy for as long as the orders that count come in.
    """

    starts: int
    members: int
    warm_up: int
    burst: int
    single_orders: int
    enqueued: int
    pictures: int
    rounds: int


FULL = Extent(starts=5, members=25, warm_up=8, burst=200, single_orders=30, enqueued=400, pictures=8, rounds=5)
# Tries everything and proves nothing.
QUICK = Extent(starts=1, members=5, warm_up=1, burst=10, single_orders=2, enqueued=20, pictures=4, rounds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BotPlan:
    """For `bot/bench_bot.py`. `spawned_at` is `time.time()` before its process is made. No `burst`: the start alone."""

    config: Config
    spawned_at: float
    members: int = 1
    warm_up: int = 0
    burst: int = 0
    single_orders: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OrdersPlan:
    """For `bot/bench_orders.py`."""

    config: Config
    members: int
    warm_up: int
    orders: int


def prompts(count: int) -> list[str]:
    """So many prompts, all of which the embedded model understands."""
    return [SUBJECTS[number % len(SUBJECTS)] for number in range(count)]


def read_plan() -> Any:
    """The plan of this process, from its stdin, where only `bot/bench.py` writes."""
    return pickle.load(sys.stdin.buffer)


def tell(figures: Mapping[str, float | None]) -> None:
    """The answer of this process."""
    sys.stdout.write(json.dumps(figures) + "\n")


def say(what: str) -> None:
    """What is going on, to whoever waits."""
    sys.stderr.write(f"{what}\n")
