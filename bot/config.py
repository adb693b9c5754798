"""The settings: `config.toml`, checked. Unknown keys and bad values stop the start with one sentence.

`LIMNER_<SECTION>__<KEY>` in the environment overrides a key (lists are separated by commas), `LIMNER_CONFIG` names
another file. What each key means is written in `config.toml` itself, and only there (`bot/config_keys.py` reads it back
for the docs). The Discord token is no setting: it comes from `DISCORD_TOKEN` alone and is never part of `Config`.
"""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from bot.config_errors import PREFIX, ConfigInvalid, ConfigUnreadable, Takes, place, rejected, shown, unknown_key
from generation.catalogue import ModelSpec
from generation.engine.settings import EngineSettings, PainterSettings
from generation.queue.settings import QueueSettings
from generation.recipe import MAX_STEPS

PROGRAM_FOLDER = Path(__file__).resolve().parent.parent
# Variables that start like a setting and are none: the file's own name, and what the tests are told.
NOT_SETTINGS = ("LIMNER_CONFIG", "LIMNER_TEST_")
SQLITE = "sqlite+aiosqlite:///"


def _no_truth_value(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a truth value is no number")
    return value


def _split_at_commas(value: object) -> object:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _known_device(name: str) -> str:
    kind, _, index = name.partition(":")
    if name not in ("auto", "cuda", "mps", "cpu") and not (kind == "cuda" and index.isdecimal() and index.isascii()):
        raise ValueError("no device of that name")
    return name


Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Number = Annotated[float, BeforeValidator(_no_truth_value), Field(allow_inf_nan=False)]
Device = Annotated[str, AfterValidator(_known_device)]


class Section(BaseModel):
    """One table of the file: immutable, no other keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DiscordSection(Section):
    api_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$"), Takes("an http(s) address, or nothing")] = ""
    shard_count: Annotated[Whole, Field(ge=0, le=4096)] = 0
    sync_commands: bool = True


class GenerationSection(Section):
    model: Annotated[str, Takes("the name of one of [models]")] = "pocket"
    devices: Annotated[
        tuple[Device, ...], NoDecode, BeforeValidator(_split_at_commas), Field(min_length=1),
        Takes("a list of auto, cpu, mps, cuda, cuda:0, cuda:1, …"),
    ] = ("auto",)  # fmt: skip
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    vram: Literal["full", "medium", "low"] = "full"
    threads: Annotated[Whole, Field(ge=0, le=1024)] = 0
    preview_every: Annotated[Whole, Field(ge=0, le=MAX_STEPS)] = 4
    lora_folders: Annotated[
        tuple[Path, ...], NoDecode, BeforeValidator(_split_at_commas), Takes("a list of paths")
    ] = (Path("generation/pocket/loras"), Path("data/loras"))  # fmt: skip
    styles: Path = Path("generation/styles.toml")

    def painters(self) -> tuple[PainterSettings, ...]:
        """How each worker shall use its device: one entry, one worker."""
        return tuple(
            PainterSettings(
                device=device,
                dtype=self.dtype,
                vram=self.vram,
                preview_every=self.preview_every,
                threads=self.threads or None,
            )
            for device in self.devices
        )


class ModelSection(Section):
    """One of `[models.<name>]`; the fields are those of `ModelSpec`."""

    source: Annotated[str, Field(min_length=1), Takes("a Hugging Face id, a folder or a .safetensors file")]
    variant: str = ""
    native_size: Annotated[Whole, Field(ge=64, le=2048, multiple_of=8), Takes("64 to 2048, a multiple of 8")] = 1024
    num_inference_steps: Annotated[Whole, Field(ge=1, le=MAX_STEPS)] = 30
    guidance_scale: Annotated[Number, Field(ge=1, le=20)] = 5.0
    cross_attention_dim: Annotated[Whole, Field(ge=1, le=65536)] = 2048
    max_batch: Annotated[Whole, Field(ge=1, le=64)] = 4

    def spec(self, name: str) -> ModelSpec:
        """The model as `generation` knows it."""
        return ModelSpec(
            name=name,
            source=self.source,
            variant=self.variant or None,
            native_size=self.native_size,
            num_inference_steps=self.num_inference_steps,
            guidance_scale=self.guidance_scale,
            cross_attention_dim=self.cross_attention_dim,
            max_batch=self.max_batch,
        )


class QueueSection(Section):
    instance: Annotated[str, Field(pattern=r"^[^/\s]{0,60}$"), Takes("up to 60 characters, no slash or space")] = ""
    lease_seconds: Annotated[Whole, Field(ge=10, le=3600)] = 60
    hang_seconds: Annotated[Whole, Field(ge=10, le=86400)] = 600
    stop_grace_seconds: Annotated[Whole, Field(ge=0, le=600)] = 20

    def instance_name(self) -> str:
        """What this program is called among those that share a database."""
        return self.instance or socket.gethostname()

    def engine(self) -> EngineSettings:
        """What the engine is told of this section."""
        return EngineSettings(hang_seconds=self.hang_seconds)

    def dispatcher(self) -> QueueSettings:
        """What the dispatcher is told of this section."""
        return QueueSettings(lease_seconds=self.lease_seconds)


class QuotaSection(Section):
    daily_credits: Annotated[Whole, Field(ge=0, le=1_000_000)] = 100
    max_queued_jobs: Annotated[Whole, Field(ge=1, le=1000)] = 10


class LimitsSection(Section):
    steps: Annotated[Whole, Field(ge=1, le=MAX_STEPS)] = 60
    prompt_length: Annotated[Whole, Field(ge=1, le=6000)] = 2000  # 6,000 is Discord's own limit


class StorageSection(Section):
    database: Annotated[
        str, Field(repr=False, pattern=r"^(sqlite\+aiosqlite|postgresql\+asyncpg)://"),
        Takes("sqlite+aiosqlite:///path or postgresql+asyncpg://user@host/name"),
    ] = SQLITE + "data/limner.sqlite3"  # fmt: skip
    files: Path = Path("data/files")

    def sqlite_file(self) -> Path | None:
        """The database's file; None for a database that is a server, or in memory."""
        name = self.database.removeprefix(SQLITE)
        return None if name in (self.database, "") or name.startswith(":memory:") else Path(name)


class LogsSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class MetricsSection(Section):
    enabled: bool = False
    host: Annotated[str, Field(min_length=1), Takes("a host name or address")] = "127.0.0.1"
    port: Annotated[Whole, Field(ge=0, le=65535)] = 9464


# The models that are known without a word in the file; a file changes single keys of them, or adds its own.
PACKAGED_MODELS: dict[str, dict[str, object]] = {
    "pocket": {
        "source": "generation/pocket/weights",
        "native_size": 128,
        "num_inference_steps": 20,
        "guidance_scale": 4.5,
        "cross_attention_dim": 160,
        "max_batch": 8,
    },
    "sdxl": {"source": "stabilityai/stable-diffusion-xl-base-1.0", "variant": "fp16"},
}


class Config(BaseSettings):
    """All settings. `load_config` makes it; every path in it is then absolute."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__")

    discord: DiscordSection = DiscordSection()
    generation: GenerationSection = GenerationSection()
    models: dict[str, ModelSection]
    queue: QueueSection = QueueSection()
    quota: QuotaSection = QuotaSection()
    limits: LimitsSection = LimitsSection()
    storage: StorageSection = StorageSection()
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
        models = {
            name: model.model_copy(update={"source": _model_source(folder, model.source)})
            for name, model in self.models.items()
        }
        files, database = _absolute(folder, self.storage.files), _database(folder, self.storage)
        return self.model_copy(
            update={
                "generation": self.generation.model_copy(update={"styles": styles, "lora_folders": lora_folders}),
                "models": models,
                "storage": self.storage.model_copy(update={"files": files, "database": database}),
            }
        )


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


def _model_source(folder: Path, source: str) -> str:
    """A model's source with an absolute path, unless it can only be a Hugging Face id."""
    path = _found(folder, Path(source))
    is_path = path.exists() or source.startswith((".", "/", "~")) or source.endswith(".safetensors")
    return str(path) if is_path else source


def _database(folder: Path, storage: StorageSection) -> str:
    """The database's address; that of a SQLite file with an absolute path."""
    file = storage.sqlite_file()
    return storage.database if file is None else f"{SQLITE}{_absolute(folder, file)}"
