"""The configuration decides where workers live; nothing is started here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bot.config import Config, load_config
from bot.config_errors import ConfigInvalid
from bot.engines import make_engine
from generation.catalogue import ModelSpec
from generation.clock import SystemClock
from generation.engine.crew import Crew
from generation.engine.local import LocalEngine
from generation.engine.ray_errors import RayMissing
from generation.engine.settings import EngineSettings

MODEL = ModelSpec(name="pocket", source="/")
CLUSTER = '[cluster]\naddress = "10.0.0.5:6379"\nworkers = 3\n'


def configured(folder: Path, text: str) -> Config:
    (folder / "config.toml").write_text(text)
    return load_config(folder / "config.toml")


def engine(config: Config, *, workers: int | None = None) -> Crew:
    return make_engine(
        config, instance="here", clock=SystemClock(), preload=MODEL, settings=EngineSettings(), workers=workers
    )


def test_without_a_cluster_workers_are_processes_here(tmp_path: Path) -> None:
    config = configured(tmp_path, '[generation]\ndevices = ["cuda:0", "cuda:1"]\n')
    assert isinstance(engine(config), LocalEngine)
    assert [worker.name for worker in engine(config).workers()] == ["here/cuda:0", "here/cuda:1"]
    assert [worker.name for worker in engine(config, workers=1).workers()] == ["here/cuda:0"]


def test_with_a_cluster_they_are_actors_there_on_what_each_takes(tmp_path: Path) -> None:
    config = configured(tmp_path, CLUSTER)
    assert [(worker.name, worker.device) for worker in engine(config).workers()] == [
        ("here/ray-1", "cuda"),
        ("here/ray-2", "cuda"),
        ("here/ray-3", "cuda"),
    ]
    without = configured(tmp_path, CLUSTER + "gpus_per_worker = 0\n")
    assert [(worker.name, worker.device) for worker in engine(without, workers=1).workers()] == [("here/ray-1", "cpu")]


def test_a_cluster_without_ray_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "generation.engine.ray", None)
    with pytest.raises(RayMissing):
        engine(configured(tmp_path, CLUSTER))


@pytest.mark.parametrize(
    ("key", "value"),
    [("address", '"10.0.0.5"'), ("address", '"auto"'), ("workers", "0"), ("gpus_per_worker", "1.5")],
)
def test_what_no_cluster_has_is_refused_at_the_start(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        configured(tmp_path, f"[cluster]\n{key} = {value}\n")
    assert refused.value.fields["key"] == f"cluster.{key}"
