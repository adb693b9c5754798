"""What `python -m bot bench drills` prints, and how it exits. The drills are tested one by one beside this."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from bot.drills import bench, clocks, crowd, kills, storage_trouble, worker_trouble
from bot.drills import calls as calls_to_discord
from bot.drills.bench import FULL
from bot.drills.house import DrillStuck
from bot.drills.verdict import Verdict

PROMISED = ["kills", "orders", "lost", "duplicated", "credit_drift", "calls_failed"]
DRILLS = (
    (kills, "drill"),
    (storage_trouble, "disk_full"),
    (storage_trouble, "database_locked"),
    (worker_trouble, "worker_hangs"),
    (worker_trouble, "out_of_memory"),
    (clocks, "drill"),
    (calls_to_discord, "on_the_way"),
    (calls_to_discord, "of_a_deletion"),
    (calls_to_discord, "storm"),
    (calls_to_discord, "at_the_start"),
    (crowd, "crowd"),
    (crowd, "soak"),
)


def with_outcome(
    monkeypatch: pytest.MonkeyPatch, *, stuck: bool = False, real: tuple[ModuleType, str] | None = None
) -> None:
    """Let all drills but one that is `real` be over at once. `stuck`: those that kill do not come to their end."""

    async def drill(folder: Path, **extent: object) -> Verdict:
        figures = {"calls_failed": 3.0}
        if "kills" in extent:
            if stuck:
                raise DrillStuck("the end of a log")
            figures = {"bot_kills": 50, "worker_kills": 50}
        return Verdict(orders=2, done=2, figures=figures)

    for module, name in set(DRILLS) - {real}:
        monkeypatch.setattr(module, name, drill)


def test_the_figures_of_all_drills_are_one_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_outcome(monkeypatch)
    assert bench.run(json=True)
    figures = json.loads(capsys.readouterr().out)
    assert list(figures)[: len(PROMISED)] == PROMISED
    assert (figures["kills"], figures["bot_kills"], figures["worker_kills"]) == (FULL.kills, 100, 100)
    assert (figures["lost"], figures["duplicated"], figures["credit_drift"]) == (0, 0, 0)
    assert figures["orders"] == 2 * 14
    assert figures["calls_failed"] == 3 * 12


def test_a_drill_that_gets_stuck_is_lost_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_outcome(monkeypatch, stuck=True)
    assert not bench.run(json=True)
    said = capsys.readouterr()
    figures = json.loads(said.out)
    assert (figures["lost"], figures["orders"], figures["kills"]) == (2, 2 * 12, 0)
    assert "the end of a log" in said.err


@pytest.mark.parametrize("patience", [60.0, 0.0])
def test_what_a_drill_measures_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], patience: float
) -> None:
    """A real crowd, a small one; an answer that comes later than Discord waits fails the whole bench."""
    with_outcome(monkeypatch, real=(crowd, "crowd"))
    monkeypatch.setattr(crowd, "ANSWER_SECONDS", patience)
    late = 0 if patience else 4
    assert bench.run(json=True, extent=replace(FULL, orders=4, orders_within=0.5, members=2)) is not bool(late)
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])  # after what is logged there in tests
    assert (figures["crowd_late"], figures["lost"]) == (late, late)
    assert figures["orders"] == 4 + 2 * 13
    assert 0 < figures["crowd_answer_p50_ms"] <= figures["crowd_answer_p99_ms"]
