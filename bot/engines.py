"""Which engine draws, as the configuration says: worker processes here, or actors on a Ray cluster."""

from __future__ import annotations

from bot.config import Config
from generation.catalogue import ModelSpec
from generation.clock import Clock
from generation.engine.crew import Crew
from generation.engine.local import LocalEngine
from generation.engine.ray_errors import RayMissing
from generation.engine.settings import EngineSettings


def make_engine(
    config: Config,
    *,
    instance: str,
    clock: Clock,
    preload: ModelSpec,
    settings: EngineSettings,
    workers: int | None = None,
) -> Crew:
    """An engine that is not started yet, of at most `workers`. Raises `RayMissing`."""
    painters = config.painters()
    if not config.cluster.address:
        return LocalEngine(painters[:workers], instance=instance, clock=clock, preload=preload, settings=settings)
    try:
        from generation.engine.ray import RayEngine
    except ModuleNotFoundError as error:
        raise RayMissing from error
    cluster = config.cluster.settings(at_most=workers)
    return RayEngine(painters[0], cluster=cluster, instance=instance, clock=clock, preload=preload, settings=settings)
