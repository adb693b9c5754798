"""The settings: `config.toml`, checked. Unknown keys and bad values stop the start with one sentence.

`LIMNER_<SECTION>__<KEY>` in the environment overrides a key (lists are separated by commas), `LIMNER_CONFIG` names
another file. What each key means is written in `config.toml` itself, and only there (`bot/config_keys.py` reads it back
for the docs). The Discord token is no setting: it comes from `DISCORD_TOKEN` alone and is never part of `Config`.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bot.config_errors import PREFIX, ConfigInvalid, ConfigUnreadable, place, rejected, shown, unknown_key
from bot.config_sections import (
    AUTO,
    SQLITE,
    ClusterSection,
    DiscordSection,
    GenerationSection,
    LimitsSection,
    LogsSection,
    MetricsSection,
    ModelSection,
    QueueSection,
    QuotaSection,
    RetentionSection,
    SafetySection,
    StorageSection,
)
from generation.engine.settings import PainterSettings

PROGRAM_FOLDER = Path(__file__).resolve().parent.parent
# Variables that start like a setting and are none: the file's own name, and what the tests are told.
NOT_SETTINGS = ("LIMNER_CONFIG", "LIMNER_TEST_")


# The models that are known without a word in the file; a file changes single keys of them, or adds its own.
PACKAGED_MODELS: dict[str, dict[str, object]] = {
    "pocket": {
        "source": "generation/pocket/weights",
        "native_size": 128,
        "num_inference_steps": 20,
        "guidance_scale": 4.5,
        "cross_attention_dim": 160,
        "max_batch": 8,
        "refiner": "generation/pocket/refiner",
        "draft_lora": "pocket-lcm",
        "draft_guidance_scale": 1.0,
    },
    "sdxl": {"source": "stabilityai/stable-diffusion-xl-base-1.0", "variant": "fp16"},
}

# The networks beside the embedded model.
POCKET_NETWORKS = {"upscaler": "generation/pocket/upscaler", "segmenter": "generation/pocket/segmenter"}


class Config(BaseSettings):
    """All settings. `load_config` makes it; every path in it is then absolute."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__")

    discord: DiscordSection = DiscordSection()
    generation: GenerationSection = GenerationSection()
    models: dict[str, ModelSection]
    queue: QueueSection = QueueSection()
    cluster: ClusterSection = ClusterSection()
    quota: QuotaSection = QuotaSection()
    limits: LimitsSection = LimitsSection()
    safety: SafetySection = SafetySection()
    storage: StorageSection = StorageSection()
    retention: RetentionSection = RetentionSection()
    logs: LogsSection = LogsSection()
    metrics: MetricsSection = MetricsSection()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then the file (given as arguments), then the packaged models."""
        return env_settings, init_settings, _PackagedModels(settings_cls)

    def settled(self, folder: Path) -> Self:
        """The same settings with absolute paths; relative ones are taken from `folder`.

        Styles, LoRAs and models that are not there are looked for in the program's own folder, so that a copy of
        `config.toml` works anywhere.
        """
        styles = _found(folder, self.generation.styles)
        lora_folders = tuple(_found(folder, path) for path in self.generation.lora_folders)
        embedding_folders = tuple(_found(folder, path) for path in self.generation.embedding_folders)
        models = {
            name: model.model_copy(
                update={"source": _weights(folder, model.source), "refiner": _weights(folder, model.refiner)}
            )
            for name, model in self.models.items()
        }
        generation = {
            "styles": styles,
            "lora_folders": lora_folders,
            "embedding_folders": embedding_folders,
            "compile_folder": _absolute(folder, self.generation.compile_folder),
            "upscaler": _weights(folder, self._network("upscaler", self.generation.upscaler)),
            "segmenter": _weights(folder, self._network("segmenter", self.generation.segmenter)),
        }
        files, database = self.storage.files, _database(folder, self.storage)
        files = _absolute(folder, files) if isinstance(files, Path) else files
        return self.model_copy(
            update={
                "generation": self.generation.model_copy(update=generation),
                "models": models,
                "safety": self.safety.model_copy(update={"classifier": _weights(folder, self.safety.classifier)}),
                "storage": self.storage.model_copy(update={"files": files, "database": database}),
            }
        )

    def painters(self) -> tuple[PainterSettings, ...]:
        """How each worker shall use its device, and look at what it has painted: one entry, one worker."""
        safety = self.safety
        return tuple(
            replace(painter, classifier=safety.classifier, classifier_label=safety.label)
            for painter in self.generation.painters()
        )

    def _network(self, name: str, source: str) -> str:
        """Where a network beside the models is; `auto` is the embedded model's own, which is made for no other."""
        if source != AUTO:
            return source
        return POCKET_NETWORKS[name] if self.generation.model == "pocket" else ""


class _PackagedModels(PydanticBaseSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return PACKAGED_MODELS.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return {"models": PACKAGED_MODELS}


def config_path() -> Path:
    """The file that is read when none is named: `$LIMNER_CONFIG`, else `config.toml` here, else the program's own."""
    if named := os.environ.get("LIMNER_CONFIG"):
        return Path(named)
    here = Path("config.toml")
    return here if here.is_file() else PROGRAM_FOLDER / "config.toml"


def load_config(path: Path | None = None) -> Config:
    """Read and check the settings. Raises `ConfigInvalid` or one of its leaves."""
    path = path or config_path()
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigUnreadable(place=str(path), detail=str(error)) from error
    _refuse_unknown_variables(path)
    try:
        config = Config(**values)
    except ValidationError as error:
        raise rejected(error, Config, path) from None
    if config.generation.model not in config.models:
        raise ConfigInvalid(
            place=place(("generation", "model"), path),
            key="generation.model",
            value=shown(config.generation.model),
            allowed=", ".join(config.models),
        )
    if config.safety.classifier and not config.safety.label:
        raise ConfigInvalid(
            place=place(("safety", "label"), path),
            key="safety.label",
            value=shown(config.safety.label),
            allowed="the label of the classifier that stands for what is not wanted",
        )
    return config.settled(path.absolute().parent)


def read_token() -> SecretStr | None:
    """The Discord token from `DISCORD_TOKEN`, or None. It shows as asterisks wherever it is printed."""
    token = os.environ.get("DISCORD_TOKEN", "").strip()
    return SecretStr(token) if token else None


def _refuse_unknown_variables(path: Path) -> None:
    """pydantic-settings looks only for variables that it knows; a misspelt one shall not pass unseen."""
    for name in os.environ:
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper.startswith(NOT_SETTINGS):
            continue
        keys = tuple(upper.removeprefix(PREFIX).lower().split("__"))
        if len(keys) < 2 or keys[0] not in Config.model_fields:
            raise unknown_key(keys[:1], Config, path, source=name)


def _absolute(folder: Path, path: Path) -> Path:
    return folder / path.expanduser()


def _found(folder: Path, path: Path) -> Path:
    """The path from `folder`; where nothing is there, the one of that name that came with the program, if any."""
    ours = PROGRAM_FOLDER / path
    return ours if not _absolute(folder, path).exists() and ours.exists() else _absolute(folder, path)


def _weights(folder: Path, source: str) -> str:
    """Where weights are, with an absolute path, unless it can only be a Hugging Face id, or is nothing."""
    if not source:
        return ""
    path = _found(folder, Path(source))
    is_path = path.exists() or source.startswith((".", "/", "~")) or source.endswith(".safetensors")
    return str(path) if is_path else source


def _database(folder: Path, storage: StorageSection) -> str:
    """The database's address; that of a SQLite file with an absolute path."""
    file = storage.sqlite_file()
    return storage.database if file is None else f"{SQLITE}{_absolute(folder, file)}"
