"""Who may import whom, held in a fresh process: import-linter reads the source, this reads `sys.modules`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "diffusers", "transformers", "peft", "accelerate", "numpy")


def modules_below(package: str) -> list[str]:
    """Dotted names of all modules of one of our packages, without importing any."""
    folder = ROOT / package.replace(".", "/")
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in folder.rglob("*.py")
        if path.name != "__main__.py" and path.parent.name != "migrations"  # alembic alone runs what lies there
    )


def loaded_after(modules: list[str]) -> set[str]:
    """Top-level names in `sys.modules` of a new process that has imported `modules` and nothing else."""
    program = "import importlib, json, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n" + (
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *modules], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    return set(json.loads(done.stdout))


def outside(package: str, *rooms: str) -> list[str]:
    return [name for name in modules_below(package) if not any(name == r or name.startswith(r + ".") for r in rooms)]


def test_the_bot_process_never_loads_torch() -> None:
    # bot.demo needs the in-memory Discord, whose page is an optional extra with dependencies of its own.
    loaded = loaded_after(outside("bot", "bot.demo"))
    assert "discord" in loaded  # else this test would prove nothing
    assert not loaded.intersection(HEAVY)


def test_storage_knows_no_discord_and_no_torch() -> None:
    loaded = loaded_after(modules_below("storage"))
    assert "sqlalchemy" in loaded
    assert not loaded.intersection((*HEAVY, "discord", "bot"))


def test_generation_knows_no_discord_and_no_sql() -> None:
    loaded = loaded_after(outside("generation", "generation.painter", "generation.pocket"))
    assert "generation" in loaded
    assert not loaded.intersection((*HEAVY, "discord", "sqlalchemy", "bot", "storage"))


@pytest.mark.parametrize("room", ["generation.painter", "generation.pocket"])
def test_the_rooms_of_torch_know_no_discord_and_no_sql(room: str) -> None:
    loaded = loaded_after(modules_below(room))
    assert "torch" in loaded
    assert not loaded.intersection(("discord", "sqlalchemy", "bot", "storage"))


@pytest.mark.parametrize("package", ["bot", "generation", "storage"])
def test_no_cupboards(package: str) -> None:
    """A file is named for its one concept; there is no place for what fits nowhere."""
    cupboards = {"utils", "util", "helpers", "helper", "misc", "common", "manager", "managers"}
    assert [name for name in modules_below(package) if name.rpartition(".")[2] in cupboards] == []
