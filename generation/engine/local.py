"""The engine on this machine: a child process for each device. torch is loaded there and never here."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from generation.catalogue import ModelSpec
from generation.clock import Clock
from generation.engine.child import ChildProcess
from generation.engine.crew import Crew
from generation.engine.settings import EngineSettings, PainterSettings


class LocalEngine(Crew):
    """An `Engine` of one worker process for each of `painters`, named f"{instance}/{device}"."""

    def __init__(
        self,
        painters: Sequence[PainterSettings],
        *,
        instance: str,
        clock: Clock,
        preload: ModelSpec | None = None,
        settings: EngineSettings | None = None,
    ) -> None:
        settings = settings or EngineSettings()
        log = structlog.get_logger(__name__)

        def begin(name: str) -> ChildProcess:
            return ChildProcess.start(name=name, painter=settings.painter, clock=clock, log=log.bind(worker=name))

        super().__init__(
            zip(_names(instance, painters), painters, strict=True),
            begin=begin,
            clock=clock,
            preload=preload,
            settings=settings,
        )


def _names(instance: str, painters: Sequence[PainterSettings]) -> list[str]:
    """One for each, unique: a second worker on the same device is numbered."""
    names: list[str] = []
    for painter in painters:
        name = f"{instance}/{painter.device}"
        same = sum(1 for taken in names if taken == name or taken.startswith(f"{name}#"))
        names.append(f"{name}#{same + 1}" if same else name)
    return names
