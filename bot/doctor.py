"""Looks at everything that `run` needs, and says what to do about what is missing. Changes and downloads nothing."""

from __future__ import annotations

import asyncio
import json
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from bot.config import PROGRAM_FOLDER, Config, read_token
from generation.loras import scan_loras
from generation.styles import StylesInvalid, load_styles
from storage.errors import StorageOutdated, StorageUnavailable
from storage.storage import open_storage

PACKAGES = ("discord.py", "torch", "diffusers", "transformers", "peft", "sqlalchemy")
PROBE_SECONDS = 180.0  # torch takes its time to load from a cold disk

# ok: as it should be. note: works, but worth knowing. todo: does not work until somebody does something.
State = Literal["ok", "note", "todo"]
Ask = Callable[[Config], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report. `key` names its words in the catalogue, under `doctor`; `fields` fill them."""

    topic: str
    state: State
    key: str
    fields: Mapping[str, object] = field(default_factory=dict)


async def examine(config: Config, *, ask: Ask | None = None) -> list[Finding]:
    """Look at everything, in the order in which one would put it right.

    `ask` tells what `generation.painter.describe` would; it is asked in a process of its own unless given.
    """
    return [
        _python(),
        *_drawing(config, await (ask or ask_painter)(config)),
        *_loras(config),
        _styles(config),
        await _database(config),
        await asyncio.to_thread(_files, config.storage.files),
        _token(),
    ]


async def ask_painter(config: Config) -> Mapping[str, Any]:
    """What `generation.painter.describe` says of devices and model, or a `trouble` that it has in saying it.

    torch is loaded by another process: this one stays small.
    """
    model = config.models[config.generation.model]
    question = {
        "devices": config.generation.devices,
        "dtype": config.generation.dtype,
        "source": model.source,
        "variant": model.variant or None,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "generation.painter.describe",
        json.dumps(question),
        cwd=PROGRAM_FOLDER,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        answer, complaint = await asyncio.wait_for(process.communicate(), PROBE_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
        return {"trouble": "torch_silent", "seconds": int(PROBE_SECONDS)}
    if process.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines()
        return {"trouble": "torch_broken", "detail": lines[-1] if lines else f"exit status {process.returncode}"}
    described: dict[str, Any] = json.loads(answer)
    return described


def _python() -> Finding:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return Finding(
        topic="python", state="ok", key="python", fields={"python": platform.python_version(), "packages": versions}
    )


def _drawing(config: Config, described: Mapping[str, Any]) -> list[Finding]:
    if "trouble" in described:
        return [Finding(topic="device", state="todo", key=described["trouble"], fields=described)]
    name = config.generation.model
    return [
        *(_device(device) for device in described["devices"]),
        _model(name, config.models[name].source, described["model"]),
    ]


def _device(device: Mapping[str, Any]) -> Finding:
    if "problem" in device:
        return Finding(topic="device", state="todo", key="device_missing", fields=device)
    slow = device["device"] == "cpu"
    return Finding(
        topic="device", state="note" if slow else "ok", key="device_cpu" if slow else "device", fields=device
    )


def _model(name: str, source: str, model: Mapping[str, Any]) -> Finding:
    states: dict[str, State] = {"found": "ok", "absent": "note", "wrong": "todo"}
    return Finding(
        topic="model",
        state=states[model["state"]],
        key=f"model_{model['state']}",
        fields={"name": name, "source": source, "reason": model["reason"]},
    )


def _loras(config: Config) -> list[Finding]:
    found, refused = scan_loras(config.generation.lora_folders)
    names = ", ".join(found) or "–"
    findings = [Finding(topic="loras", state="ok", key="loras", fields={"count": len(found), "names": names})]
    findings += [Finding(topic="loras", state="note", key="lora_refused", fields=error.fields) for error in refused]
    return findings


def _styles(config: Config) -> Finding:
    try:
        styles = load_styles(config.generation.styles)
    except StylesInvalid as error:
        return Finding(topic="styles", state="todo", key="styles_invalid", fields=error.fields)
    return Finding(topic="styles", state="ok", key="styles", fields={"count": len(styles), "names": ", ".join(styles)})


async def _database(config: Config) -> Finding:
    def finding(state: State, key: str, **fields: object) -> Finding:
        return Finding(topic="database", state=state, key=key, fields=fields)

    path = config.storage.sqlite_file()
    if path is not None and not path.exists():
        return finding("ok", "database_new", path=path)
    try:
        async with open_storage(database=config.storage.database, files=config.storage.files):
            return finding("ok", "database")
    except StorageOutdated as error:
        if not error.fields["found"]:
            return finding("ok", "database_empty")
        return finding("todo", "database_outdated", **error.fields)
    except StorageUnavailable as error:
        return finding("todo", "database_unavailable", **error.fields)


def _files(folder: Path) -> Finding:
    """Whether a file can be written there, or in the nearest folder above that exists."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        fields = {"path": folder, "detail": error.strerror or str(error)}
        return Finding(topic="files", state="todo", key="files_unwritable", fields=fields)
    return Finding(topic="files", state="ok", key="files", fields={"path": folder})


def _token() -> Finding:
    if read_token() is None:
        return Finding(topic="token", state="todo", key="token_missing")
    return Finding(topic="token", state="ok", key="token")
