"""One life of a worker on a cluster: an actor, from its placement to its burial."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import traceback
from dataclasses import replace
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from generation.engine.frames import End, FromParent, FromWorker, Ready, Unfit, encode
from generation.engine.ray_actor import NO_MORE, Meeting, WorkerActor
from generation.engine.ray_errors import ClusterVersionsDiffer
from generation.engine.ray_settings import ClusterSettings
from generation.engine.ray_versions import differences, own_versions

GIGABYTE = 1e9
# How long an actor may wait for a node with room, or for its process there, until somebody is told.
PLACEMENT_SECONDS = 30.0
# How long to wait until a killed actor is gone. What it held is given to another only then: Ray sees to that.
FAREWELL_SECONDS = 5.0
LONGEST_WORDS = 240


class RayLife:
    """A `Life` in an actor, placed by Ray wherever there is room for what `cluster` asks for."""

    def __init__(self, actor: Any, *, needs: str, log: Any) -> None:
        self.pid: int | None = None
        self._node = ""
        self._actor = actor
        self._needs = needs
        self._log = log
        self._sent = 0  # frames
        self._on_their_way: set[asyncio.Task[None]] = set()
        self._stream: Any = None
        self._unfit: Unfit | None = None
        self._ending = ""

    @classmethod
    def start(cls, cluster: ClusterSettings, *, painter: str, log: Any) -> RayLife:
        """Ask Ray for an actor. It is restarted by its worker's parent alone, which knows what it was doing.

        Raises `OSError` where Ray itself is gone.
        """
        options = placement(cluster)
        try:
            actor = ray.remote(WorkerActor).options(max_restarts=0, max_task_retries=0, **options).remote(painter)
        except RayError as error:
            raise OSError(" ".join(str(error).split())[:LONGEST_WORDS]) from error
        needs = ", ".join(f"{name} {value:g}" for name, value in _flat(options).items())
        return cls(actor, needs=needs, log=log)

    async def begin(self) -> None:
        meeting = asyncio.ensure_future(self._meet())
        _, waiting = await asyncio.wait({meeting}, timeout=PLACEMENT_SECONDS)
        if waiting:
            self._log.warning("worker_waits_for_a_node", needs=self._needs)
        await meeting

    def send(self, frame: FromParent) -> None:
        if self._stream is not None:
            on_its_way = asyncio.create_task(self._arrive(self._actor.take.remote(self._sent, encode(frame))))
            self._on_their_way.add(on_its_way)
            on_its_way.add_done_callback(self._on_their_way.discard)
            self._sent += 1
        elif isinstance(frame, End):  # it may never be placed
            self.kill()

    async def receive(self) -> FromWorker | None:
        if self._unfit is not None:
            return self._unfit
        while self._stream is not None:
            try:
                data = await (await anext(self._stream))
            except StopAsyncIteration:
                self._stream = self._actor.frames.remote()
            except RayError as error:
                self._ending = _said_shortly(error)
                return None
            else:
                if data == NO_MORE:
                    self._ending = "the worker ended"
                    return None
                return self._located(pickle.loads(data))
        return None

    def kill(self) -> None:
        ray.kill(self._actor)

    async def bury(self) -> str:
        for on_its_way in self._on_their_way:
            on_its_way.cancel()
        self.kill()
        gone = self._actor.take.remote(self._sent, b"")
        with contextlib.suppress(RayError, TimeoutError):
            async with asyncio.timeout(FAREWELL_SECONDS):
                await gone
        self._stream = self._actor = None
        return self._ending

    async def _arrive(self, taken: Any) -> None:
        """Those behind a frame that never arrives would wait for it for ever: such a life is over."""
        try:
            await taken
        except RayError:
            self.kill()

    def _located(self, frame: FromWorker) -> FromWorker:
        """With the node in the device's name ("cuda:10.0.0.6"): speeds are learned by device, and nodes differ."""
        if isinstance(frame, Ready):
            return replace(frame, device=f"{frame.device.partition(':')[0]}:{self._node}")
        return frame

    async def _meet(self) -> None:
        try:
            meeting: Meeting = await self._actor.meet.remote()
        except RayError as error:
            self._ending = _said_shortly(error)
            return
        self.pid, self._node = meeting.pid, meeting.node
        self._log.info("worker_started", node=meeting.node, pid=meeting.pid)
        different = differences(meeting.versions, own_versions())
        if different:
            self._unfit = Unfit(error=ClusterVersionsDiffer(node=meeting.node, differences=different))
        else:
            self._stream = self._actor.frames.remote()


def placement(cluster: ClusterSettings) -> dict[str, Any]:
    """What an actor asks of its node, as `ray.remote` takes it."""
    options: dict[str, Any] = {"num_cpus": cluster.cpus_per_worker, "num_gpus": cluster.gpus_per_worker}
    if cluster.memory_gigabytes:
        options["memory"] = int(cluster.memory_gigabytes * GIGABYTE)
    if cluster.gpu_memory_gigabytes:
        options["resources"] = {"gpu_memory": cluster.gpu_memory_gigabytes}
    return options


def _flat(options: dict[str, Any]) -> dict[str, float]:
    flat = {name: value for name, value in options.items() if name != "resources"}
    return {**flat, **options.get("resources", {})}


def _said_shortly(error: RayError) -> str:
    """Ray's errors tell the whole story of a process; its reason is at their end."""
    cause = error.cause if isinstance(error, RayTaskError) else None
    if isinstance(cause, BaseException):  # of the worker's own, in the words that it would have printed last
        return traceback.format_exception_only(cause)[-1].strip()
    _, _, reason = " ".join(str(error).split()).rpartition("The actor is dead because ")
    return reason[:LONGEST_WORDS]
