"""The engine on a Ray cluster: an actor for each worker, wherever there is room. Ray keeps nothing that must last.

Whatever is durable (jobs, leases, pictures) is in our own tables: actors die with the program that asked for them, and
it finds there what they were painting.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import ray
import structlog

from generation.catalogue import ModelSpec
from generation.clock import Clock
from generation.engine.crew import Crew
from generation.engine.ray_door import check_door, insist_on_token
from generation.engine.ray_errors import ClusterUnreachable
from generation.engine.ray_life import RayLife
from generation.engine.ray_settings import ClusterSettings
from generation.engine.settings import EngineSettings, PainterSettings


class RayEngine(Crew):
    """An `Engine` of `cluster.workers` actors, named f"{instance}/ray-{number}". One in a process.

    `start` waits for the connection. Raises a `ClusterUnusable` when there is none to be had, or none that is safe.
    """

    def __init__(
        self,
        painter: PainterSettings,
        *,
        cluster: ClusterSettings,
        instance: str,
        clock: Clock,
        preload: ModelSpec | None = None,
        settings: EngineSettings | None = None,
    ) -> None:
        settings = settings or EngineSettings()
        log = structlog.get_logger(__name__)

        def begin(name: str) -> RayLife:
            return RayLife.start(cluster, painter=settings.painter, log=log.bind(worker=name))

        super().__init__(
            [
                (f"{instance}/ray-{number}", replace(painter, device=cluster.device))
                for number in range(1, cluster.workers + 1)
            ],
            begin=begin,
            clock=clock,
            preload=preload,
            settings=settings,
        )
        self._cluster = cluster
        self._connected = False

    async def start(self) -> None:
        await check_door(self._cluster.address)
        await asyncio.to_thread(self._connect)
        await super().start()

    async def close(self, *, grace: float) -> None:
        try:
            await super().close(grace=grace)
        finally:
            if self._connected:
                await asyncio.to_thread(ray.shutdown)
                self._connected = False

    def _connect(self) -> None:
        address = self._cluster.address
        insist_on_token()
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise ClusterUnreachable(address=address, detail=" ".join(str(error).split())) from error
        self._connected = True
