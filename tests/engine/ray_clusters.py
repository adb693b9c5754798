"""A real Ray cluster on the loopback interface, as it stands on several machines: nodes of their own, and a token."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private import ray_constants
from ray.cluster_utils import Cluster

from generation.catalogue import ModelSpec
from generation.clock import SystemClock
from generation.engine.ray import RayEngine
from generation.engine.ray_door import insist_on_token
from generation.engine.ray_settings import ClusterSettings
from generation.engine.settings import EngineSettings, PainterSettings
from tests.engine.local_engines import QUICK

LOOPBACK = "127.0.0.1"  # the one address for which Ray listens nowhere else
TOKEN = "a-token-of-the-tests-0123456789"
SMALL = {"object_store_memory": 80 << 20, "node_ip_address": LOOPBACK, "include_dashboard": False}
LONG = 240  # seconds that a node may take at most, on a busy machine; Ray itself gives it thirty
TURN = "RAY_TURN_OF_LIMNERS_TESTS"
LARGE = 24.0  # gigabytes that a node with a large GPU declares


@dataclass(slots=True)
class TestCluster:
    """A head that paints nothing, and nodes with room for one worker each."""

    __test__ = False

    cluster: Cluster
    large: Any = None

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self, *, gpu_memory: float = 0.0) -> Any:
        """One more node; returns when the cluster knows it. To be called in the main thread."""
        resources = {"gpu_memory": gpu_memory} if gpu_memory else None
        node = self.cluster.add_node(wait=False, num_cpus=1, resources=resources, **SMALL)
        self.cluster._wait_for_node(node, timeout=LONG)
        if gpu_memory:
            self.large = node
        return node

    def kill_large(self) -> None:
        """End the node with the large GPU as a power cut does."""
        self.cluster.remove_node(self.large, allow_graceful=False)

    def kill_node_of(self, pid: int) -> None:
        """The same of the node that a worker's process belongs to."""
        family = {process.pid for process in psutil.Process(pid).parents()}
        for node in list(self.cluster.worker_nodes):
            if any(info.process.pid in family for info in node.all_processes["raylet"]):
                self.cluster.remove_node(node, allow_graceful=False)

    def settings(self) -> dict[str, str]:
        """The environment in which a bot draws on it."""
        return {"LIMNER_CLUSTER__ADDRESS": self.address, "LIMNER_CLUSTER__GPUS_PER_WORKER": "0"}


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until nobody else here runs a cluster; whoever has the turn, and its children, have it at once."""
    if TURN in os.environ:
        yield
        return
    with (Path(tempfile.gettempdir()) / "limner-tests-ray.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.environ[TURN] = "taken"
        try:
            yield
        finally:
            del os.environ[TURN]


@contextlib.contextmanager
def ray_cluster() -> Iterator[TestCluster]:
    """Two nodes, one of which has a large GPU. The environment is that of whoever holds the token."""
    with one_at_a_time(), _cluster() as cluster:
        yield cluster


@contextlib.contextmanager
def _cluster() -> Iterator[TestCluster]:
    # The path is short: Ray's sockets lie in it.
    folder = Path(tempfile.mkdtemp(prefix="limner-ray-", dir="/tmp"))
    (folder / "ray").mkdir()
    wanted = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_gcs_server_port_wait_time_s": str(LONG),
        # What Ray does on systems where it makes no clusters: this machine is its loopback address, not an outward one.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    clusters, ray_constants.ENABLE_RAY_CLUSTER = ray_constants.ENABLE_RAY_CLUSTER, False  # read from there once
    insist_on_token()
    try:
        cluster = TestCluster(Cluster())
        try:
            head = cluster.cluster.add_node(wait=False, num_cpus=0, **SMALL)
            cluster.cluster._wait_for_node(head, timeout=LONG)
            cluster.add()
            cluster.add(gpu_memory=LARGE)
            yield cluster
        finally:
            ray.shutdown()
            cluster.cluster.shutdown()
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = clusters
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.asynccontextmanager
async def ray_engine(
    cluster: TestCluster,
    *,
    workers: int = 1,
    settings: EngineSettings = QUICK,
    preload: ModelSpec | None = None,
    **asked: float,
) -> AsyncIterator[RayEngine]:
    """A started engine with the test painter, closed at the end."""
    settings_of_cluster = ClusterSettings(address=cluster.address, workers=workers, gpus_per_worker=0)
    engine = RayEngine(
        PainterSettings(),
        cluster=replace(settings_of_cluster, **asked),
        instance="here",
        clock=SystemClock(),
        settings=settings,
        preload=preload,
    )
    try:
        await engine.start()
        yield engine
    finally:
        await engine.close(grace=5)
