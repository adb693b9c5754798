"""A real Ray cluster on the loopback interface, as it stands on several machines: nodes of their own, and a token."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import ray
from ray.cluster_utils import Cluster

from generation.catalogue import ModelSpec
from generation.clock import SystemClock
from generation.engine.ray import RayEngine
from generation.engine.ray_door import insist_on_token
from generation.engine.ray_settings import ClusterSettings
from generation.engine.settings import EngineSettings, PainterSettings
from tests.engine.local_engines import QUICK

# One that Ray does not take for "this machine", which it would look up by its outward address.
LOOPBACK = "127.0.0.2"
TOKEN = "a-token-of-the-tests-0123456789"
SMALL = {"object_store_memory": 80 << 20, "node_ip_address": LOOPBACK, "include_dashboard": False}
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
        node = self.cluster.add_node(num_cpus=1, resources=resources, **SMALL)
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
def ray_cluster() -> Iterator[TestCluster]:
    """Two nodes, one of which has a large GPU. The environment is that of whoever holds the token."""
    # The path is short: Ray's sockets lie in it.
    folder = Path(tempfile.mkdtemp(prefix="limner-ray-", dir="/tmp"))
    (folder / "ray").mkdir()
    wanted = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_TMPDIR": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_IMPORT_WARNING": "1",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    insist_on_token()
    try:
        cluster = TestCluster(Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL}))
        try:
            cluster.add()
            cluster.add(gpu_memory=LARGE)
            yield cluster
        finally:
            ray.shutdown()
            cluster.cluster.shutdown()
    finally:
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
