"""One life of a worker, as its parent sees it: a process that is begun, spoken to, and ends."""

from __future__ import annotations

from typing import Protocol

from generation.engine.frames import FromParent, FromWorker


class Life(Protocol):
    """Made when the process is started. Everything is called on one event loop."""

    @property
    def pid(self) -> int | None:
        """The process, on whatever machine; None while it is not known."""

    async def begin(self) -> None:
        """Wait until the process can be spoken to, or never will be; this may take as long as it wants."""

    def send(self, frame: FromParent) -> None:
        """Say something to it. Where it cannot be spoken to, `End` ends it, and all else is without effect."""

    async def receive(self) -> FromWorker | None:
        """What it says next; None when it is gone."""

    def kill(self) -> None:
        """End it at once."""

    async def bury(self) -> str:
        """Wait until it is gone, with some help, so that its device's memory is free; how it ended, in words."""
