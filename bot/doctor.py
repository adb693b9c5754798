"""Looks at everything that `run` needs, and says what to do about what is missing. Changes and downloads nothing."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import secrets
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bot.config import PROGRAM_FOLDER, Config, read_token
from bot.config_sections import ModelSection, SafetySection
from bot.doctor_cluster import examine_cluster
from bot.findings import Finding, State
from generation.embeddings import scan_embeddings
from generation.environment import without_secrets
from generation.loras import scan_loras
from generation.safety_labels import ClassifierUnusable, check_classifier
from generation.styles import StylesInvalid, load_styles
from generation.weights import (
    MODEL_INDEX,
    NETWORK_CONFIG,
    WeightsAbsent,
    WeightsGone,
    check_weights,
    command_for,
    weights_are_here,
)
from storage.errors import StorageOutdated, StorageUnavailable
from storage.storage import open_storage

PACKAGES = ("discord.py", "torch", "diffusers", "transformers", "peft", "sqlalchemy")
# What works with SDXL where nothing is configured.
EXAMPLES = {
    "upscaler": "caidas/swin2SR-classical-sr-x2-64",
    "segmenter": "CIDAS/clipseg-rd64-refined",
    "classifier": "Falconsai/nsfw_image_detection",
}
EXAMPLE_LABEL = "nsfw"  # of that classifier
PROBE_SECONDS = 180.0  # torch takes its time to load from a cold disk

Ask = Callable[[Config], Awaitable[Mapping[str, Any]]]


async def examine(config: Config, *, ask: Ask | None = None) -> list[Finding]:
    """Look at everything, in the order in which one would put it right.

    `ask` tells what `generation.painter.describe` would; it is asked in a process of its own unless given.
    """
    described = await (ask or ask_painter)(config)
    return [
        _python(),
        *_drawing(config, described),
        *await examine_cluster(config.cluster),
        *await asyncio.to_thread(_other_weights, config),
        *_loras(config),
        *_embeddings(config),
        _styles(config),
        _classifier(config.safety, described),
        await _database(config),
        await _files(config.storage.files),
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
        "classifier": config.safety.classifier,
        "label": config.safety.label,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "generation.painter.describe",
        json.dumps(question),
        cwd=PROGRAM_FOLDER,
        env=without_secrets(os.environ),
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
        # Of a cluster, the workers' nodes are looked at, not this one.
        *(_device(device) for device in described["devices"] if not config.cluster.address),
        _model(name, config.models[name], described["model"]),
    ]


def _device(device: Mapping[str, Any]) -> Finding:
    if "problem" in device:
        return Finding(topic="device", state="todo", key="device_missing", fields=device)
    slow = device["device"] == "cpu"
    return Finding(
        topic="device", state="note" if slow else "ok", key="device_cpu" if slow else "device", fields=device
    )


def _model(name: str, model: ModelSection, described: Mapping[str, Any]) -> Finding:
    states: dict[str, State] = {"found": "ok", "absent": "note", "wrong": "todo"}
    command = command_for(model.source, model.variant or None)
    return Finding(
        topic="model",
        state=states[described["state"]],
        key=f"model_{described['state']}",
        fields={"name": name, "source": model.source, "reason": described["reason"], "command": command},
    )


def _other_weights(config: Config) -> list[Finding]:
    """The models that `--model` may name, the refiners, and the networks beside the model."""
    networks = {"upscaler": config.generation.upscaler, "segmenter": config.generation.segmenter}
    return [
        *(_other_model(name, model) for name, model in config.models.items() if name != config.generation.model),
        *(
            _network(f"models.{name}.refiner", model.refiner, MODEL_INDEX, model.variant or None)
            for name, model in config.models.items()
            if model.refiner
        ),
        *(
            _network(f"generation.{key}", source, NETWORK_CONFIG) if source else _no_network(key)
            for key, source in networks.items()
        ),
    ]


def _other_model(name: str, model: ModelSection) -> Finding:
    try:
        check_weights(model.spec(name))
    except WeightsAbsent as error:
        return Finding(topic="model", state="note", key="model_unused", fields={**error.fields, "source": model.source})
    except WeightsGone as error:
        return Finding(topic="model", state="todo", key="model_gone", fields=error.fields)
    return Finding(topic="model", state="ok", key="model_found", fields={"name": name, "source": model.source})


def _network(setting: str, source: str, index: str, variant: str | None = None) -> Finding:
    fields: dict[str, object] = {"setting": setting, "source": source}
    if source.endswith(".safetensors") and index == NETWORK_CONFIG and find_spec("spandrel") is None:
        return Finding(topic="model", state="todo", key="network_extra", fields=fields)
    if weights_are_here(source, index):
        return Finding(topic="model", state="ok", key="network", fields=fields)
    if Path(source).is_absolute():
        return Finding(topic="model", state="todo", key="network_gone", fields=fields)
    fields["command"] = command_for(source, variant)
    key = "refiner_absent" if index == MODEL_INDEX else "network_absent"
    return Finding(topic="model", state="note", key=key, fields=fields)


def _no_network(key: str) -> Finding:
    """None is wanted; what it would be good for, and where one is."""
    fields: dict[str, object] = {"command": command_for(EXAMPLES[key]), "example": EXAMPLES[key]}
    return Finding(topic="model", state="ok", key=f"no_{key}", fields=fields)


def _loras(config: Config) -> list[Finding]:
    found, refused = scan_loras(config.generation.lora_folders)
    names = ", ".join(found) or "–"
    findings = [Finding(topic="loras", state="ok", key="loras", fields={"count": len(found), "names": names})]
    findings += [Finding(topic="loras", state="note", key="lora_refused", fields=error.fields) for error in refused]
    findings += [
        Finding(topic="loras", state="todo", key="draft_lora_absent", fields={"name": name, "lora": model.draft_lora})
        for name, model in config.models.items()
        if model.draft_lora and model.draft_lora not in found
    ]
    return findings


def _embeddings(config: Config) -> list[Finding]:
    found, refused = scan_embeddings(config.generation.embedding_folders)
    names = ", ".join(found) or "–"
    findings = [Finding(topic="embeddings", state="ok", key="embeddings", fields={"count": len(found), "names": names})]
    return findings + [
        Finding(topic="embeddings", state="note", key="embedding_refused", fields=error.fields) for error in refused
    ]


def _styles(config: Config) -> Finding:
    try:
        styles = load_styles(config.generation.styles)
    except StylesInvalid as error:
        return Finding(topic="styles", state="todo", key="styles_invalid", fields=error.fields)
    return Finding(topic="styles", state="ok", key="styles", fields={"count": len(styles), "names": ", ".join(styles)})


def _classifier(safety: SafetySection, described: Mapping[str, Any]) -> Finding:
    """What looks at the pictures; where torch cannot be asked, what is to be read of it without."""
    if not safety.classifier:
        example = EXAMPLES["classifier"]
        fields: dict[str, object] = {"example": example, "label": EXAMPLE_LABEL, "command": command_for(example)}
        return Finding(topic="safety", state="ok", key="no_classifier", fields=fields)
    told: Mapping[str, str] = described.get("classifier", {"state": "found", "reason": ""})
    state, reason = told["state"], told["reason"]
    try:
        check_classifier(safety.classifier, safety.label)
    except ClassifierUnusable as error:
        state, reason = "wrong", str(error.fields["reason"])
    fields = {
        "source": safety.classifier,
        "label": safety.label,
        "threshold": safety.threshold,
        "action": safety.action,
        "age_restricted_action": safety.age_restricted_action,
        "reason": reason,
        "command": command_for(safety.classifier),
    }
    keys: dict[str, tuple[State, str]] = {
        "found": ("ok", "classifier"),
        "absent": ("note", "classifier_absent"),
        "wrong": ("todo", "classifier_wrong"),
    }
    return Finding(topic="safety", state=keys[state][0], key=keys[state][1], fields=fields)


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


async def _files(place: Path | str) -> Finding:
    if isinstance(place, Path):
        return await asyncio.to_thread(_folder, place)
    from storage.errors import FilesUnavailable, FilesUnwritable
    from storage.files import open_files

    try:
        files = await open_files(place)
        await files.remove(await files.write(secrets.token_bytes(16)))
    except (FilesUnavailable, FilesUnwritable) as error:
        fields = {"place": place, "detail": error.fields["detail"]}
        return Finding(topic="files", state="todo", key="files_unavailable", fields=fields)
    return Finding(topic="files", state="ok", key="files", fields={"path": place})


def _folder(folder: Path) -> Finding:
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
