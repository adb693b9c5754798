"""What the commands of the command line have in common: where their settings come from, and what is logged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from generation.environment import SECRETS

if TYPE_CHECKING:
    from bot.config import Config

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="The settings: config.toml here, or $LIMNER_CONFIG.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


def configured(path: Path | None) -> Config:
    """The settings, with logs set up as they say. Raises as `load_config`."""
    settings = _loaded(path)
    _log(settings, level=settings.logs.level)
    return settings


def quietly(path: Path | None) -> Config:
    """The settings, for a command whose words a person reads: only errors are logged. Raises as `load_config`."""
    settings = _loaded(path)
    _log(settings, level="error")
    return settings


def _loaded(path: Path | None) -> Config:
    from bot.config import load_config

    return load_config(path)


def _log(settings: Config, *, level: Literal["debug", "info", "warning", "error"]) -> None:
    from bot.logs import configure_logs

    secrets = [os.environ.get(name, "").strip() for name in SECRETS]
    configure_logs(level=level, format=settings.logs.format, secrets=secrets)
