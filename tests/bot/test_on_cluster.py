"""The whole bot with its workers on a Ray cluster: a part of the end-to-end tests once more, and a node that dies.

`python -m tests.bot.on_cluster` runs all of them there, or those that it is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.config import load_config
from bot.doctor_cluster import examine_cluster
from generation.engine.protocol import WorkerState
from generation.engine.ray import RayEngine
from tests.bot.test_cancel import test_the_owner_cancels_a_running_job
from tests.bot.test_editing import test_a_region_is_chosen_by_cells_and_the_rest_stays
from tests.bot.test_imagine import test_a_preview_with_percent_comes_before_the_pictures
from tests.bot.test_restart import (
    answered_once_and_charged_once,
    test_a_job_that_kills_its_worker_three_times_fails_with_words_and_a_refund,
    test_an_order_during_a_restart_is_kept,
)
from tests.bot.world import SETTINGS, open_world
from tests.engine.ray_clusters import LARGE, LONG, TestCluster, ray_cluster

__all__ = [
    "test_a_job_that_kills_its_worker_three_times_fails_with_words_and_a_refund",
    "test_a_preview_with_percent_comes_before_the_pictures",
    "test_a_region_is_chosen_by_cells_and_the_rest_stays",
    "test_an_order_during_a_restart_is_kept",
    "test_the_owner_cancels_a_running_job",
]
pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def started() -> Iterator[TestCluster]:
    with ray_cluster() as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def cluster(started: TestCluster, monkeypatch: pytest.MonkeyPatch) -> TestCluster:
    """Every bot in this file draws on it."""
    for name, value in started.settings().items():
        monkeypatch.setenv(name, value)
    return started


async def test_the_doctor_tells_of_the_door_the_nodes_and_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text(SETTINGS)
    monkeypatch.setenv("LIMNER_CLUSTER__GPU_MEMORY_GIGABYTES", str(LARGE))
    monkeypatch.setenv("LIMNER_CLUSTER__WORKERS", "2")
    cluster = load_config(tmp_path / "config.toml").cluster
    found = await examine_cluster(cluster)
    assert [(finding.key, finding.state) for finding in found] == [
        *[("cluster_node", "ok")] * 3,
        ("cluster_too_small", "note"),
    ]
    assert found[-1].fields == {"workers": 2, "room": 1}
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another")
    assert [(finding.key, finding.state) for finding in await examine_cluster(cluster)] == [
        ("cluster_token_refused", "todo")
    ]


@pytest.mark.crash
async def test_a_node_that_dies_in_mid_job_costs_an_attempt_and_nothing_else(
    tmp_path: Path, cluster: TestCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Last, because it leaves one node less."""
    monkeypatch.setenv("LIMNER_CLUSTER__WORKERS", "2")
    async with open_world(tmp_path) as world:
        engine = world.app.engine
        assert isinstance(engine, RayEngine)
        await world.until(lambda: states(engine) == [WorkerState.IDLE] * 2, seconds=LONG)
        message = await world.imagine(f"a boat {world.held}")
        await world.begun(message)
        (busy,) = [worker.name for worker in engine.workers() if worker.state is WorkerState.BUSY]
        pid = engine.pid(busy)
        assert pid is not None
        await asyncio.to_thread(cluster.kill_node_of, pid)
        await world.until(lambda: engine.pid(busy) != pid, seconds=LONG)  # its processes outlive a node for a moment
        world.let_go()
        await answered_once_and_charged_once(world, message)
        job = await world.app.services.storage.jobs.get(1)
        assert job is not None
        assert job.attempt == 2
        # There is no room for both now: one waits for a node.
        await world.until(lambda: states(engine) == [WorkerState.IDLE, WorkerState.STARTING])


def states(engine: RayEngine) -> list[WorkerState]:
    """Of its workers, in the order of their words."""
    return sorted(worker.state for worker in engine.workers())
