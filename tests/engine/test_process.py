"""The parent's side of a worker, with a life of the test's own in the place of a process."""

from __future__ import annotations

import asyncio

from generation.clock import SystemClock
from generation.engine.crew import Crew
from generation.engine.frames import End, FromParent, FromWorker, Ready
from generation.engine.protocol import WorkerState
from generation.engine.settings import PainterSettings
from tests.engine.local_engines import QUICK, SOON


class SlowlyBuried:
    """Implements `generation.engine.life.Life`: says what it is told, and is gone when the test lets it."""

    pid = None

    def __init__(self) -> None:
        self.says: asyncio.Queue[FromWorker | None] = asyncio.Queue()
        self.dead = asyncio.Event()
        self.gone = asyncio.Event()

    async def begin(self) -> None:
        pass

    def send(self, frame: FromParent) -> None:
        if isinstance(frame, End):
            self.kill()

    async def receive(self) -> FromWorker | None:
        return await self.says.get()

    def kill(self) -> None:
        self.says.put_nowait(None)

    async def bury(self) -> str:
        self.dead.set()
        await self.gone.wait()
        return "killed"


async def test_a_worker_whose_process_died_is_idle_only_when_the_next_one_is_ready() -> None:
    lives = [SlowlyBuried(), SlowlyBuried()]
    first, second = lives
    crew = Crew(
        [("here/cpu", PainterSettings())],
        begin=lambda name: lives.pop(0),
        clock=SystemClock(),
        preload=None,
        settings=QUICK,
    )
    async with asyncio.timeout(SOON):
        await crew.start()
        first.says.put_nowait(Ready(device="cpu", model=None))
        assert await crew.idle() == "here/cpu"
        first.kill()
        await first.dead.wait()
        assert crew.workers()[0].state is WorkerState.STARTING
        first.gone.set()
        second.says.put_nowait(Ready(device="cpu", model=None))
        assert await crew.idle() == "here/cpu"
        assert crew.workers()[0].restarts == 1
        second.gone.set()
        await crew.close(grace=SOON)
