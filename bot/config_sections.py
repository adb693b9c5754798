"""The tables of `config.toml`: which keys each has, what they take, and what the rest of the program is told of them.

What each key means is written in `config.toml` itself, and only there.
"""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from bot.config_errors import Takes
from bot.rules.rates import Rates
from bot.shards import Shards
from generation.catalogue import Draft, ModelSpec
from generation.clock import Clock
from generation.engine.ray_settings import ClusterSettings
from generation.engine.settings import EngineSettings, PainterSettings
from generation.intake.limits import IntakeLimits
from generation.queue.settings import QueueSettings
from generation.safety import SafetyPolicy, Verdict
from generation.samplers import SAMPLER_NAMES

SQLITE = "sqlite+aiosqlite:///"
# As S3 lets buckets be called. Keys have no place in it: they come from the environment.
_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?")
# What a server may set. `--quality` multiplies it, up to what a recipe may hold.
MOST_STEPS = 100


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


def _folder_or_bucket(place: object) -> object:
    if not isinstance(place, str):
        return place
    if not place.startswith("s3:"):
        return Path(place)
    if not _BUCKET.fullmatch(place):
        raise ValueError("no address of a bucket")
    return place


def _known_sampler(name: str) -> str:
    if name not in SAMPLER_NAMES:
        raise ValueError("no sampler of that name")
    return name


# For the networks beside the models: the embedded model's own where that one draws, otherwise none.
AUTO = "auto"

Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Number = Annotated[float, BeforeValidator(_no_truth_value), Field(allow_inf_nan=False)]
Device = Annotated[str, AfterValidator(_known_device)]


class Section(BaseModel):
    """One table of the file: immutable, no other keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DiscordSection(Section):
    api_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$"), Takes("an http(s) address, or nothing")] = ""
    shard_count: Annotated[Whole, Field(ge=0, le=4096)] = 0
    shard_ids: Annotated[
        tuple[Annotated[Whole, Field(ge=0, le=4095)], ...], NoDecode, BeforeValidator(_split_at_commas),
        Takes("a list of numbers below discord.shard_count, each once"),
    ] = ()  # fmt: skip
    sync_commands: bool = True

    @field_validator("shard_ids")
    @classmethod
    def _known_shards(cls, ids: tuple[int, ...], told: ValidationInfo) -> tuple[int, ...]:
        count = told.data.get("shard_count", 0)
        if len(set(ids)) < len(ids) or any(shard_id >= count for shard_id in ids):
            raise ValueError("no such shard")
        return ids

    def shards(self) -> Shards:
        """Which of Discord's shards are this bot's."""
        return Shards(ids=self.shard_ids, count=self.shard_count)


class GenerationSection(Section):
    model: Annotated[str, Takes("the name of one of [models]")] = "pocket"
    devices: Annotated[
        tuple[Device, ...], NoDecode, BeforeValidator(_split_at_commas), Field(min_length=1),
        Takes("a list of auto, cpu, mps, cuda, cuda:0, cuda:1, …"),
    ] = ("auto",)  # fmt: skip
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    vram: Literal["full", "medium", "low"] = "full"
    models_on_device_gigabytes: Annotated[Number, Field(ge=0, le=10_000)] = 0.0
    models_in_memory_gigabytes: Annotated[Number, Field(ge=0, le=10_000)] = 0.0
    overlap: Literal["auto", "on", "off"] = "auto"
    channels_last: bool = False
    attention: Literal["auto", "flash", "cudnn", "efficient", "math"] = "auto"
    compile: Literal["off", "blocks", "unet", "graphs"] = "off"
    compile_folder: Path = Path("data/compiled")
    vae_dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    guided_share: Annotated[Number, Field(gt=0, le=1), Takes("above 0, up to 1")] = 1.0
    fp8: bool = False
    threads: Annotated[Whole, Field(ge=0, le=1024)] = 0
    preview_every: Annotated[Whole, Field(ge=0, le=MOST_STEPS)] = 4
    lora_folders: Annotated[
        tuple[Path, ...], NoDecode, BeforeValidator(_split_at_commas), Takes("a list of paths")
    ] = (Path("generation/pocket/loras"), Path("data/loras"))  # fmt: skip
    embedding_folders: Annotated[
        tuple[Path, ...], NoDecode, BeforeValidator(_split_at_commas), Takes("a list of paths")
    ] = (Path("data/embeddings"),)  # fmt: skip
    styles: Path = Path("generation/styles.toml")
    upscaler: Annotated[str, Takes("auto, a Hugging Face id, a folder, a .safetensors file, or nothing")] = AUTO
    segmenter: Annotated[str, Takes("auto, a Hugging Face id, a folder, or nothing")] = AUTO

    def painters(self) -> tuple[PainterSettings, ...]:
        """How each worker shall use its device: one entry, one worker."""
        return tuple(
            PainterSettings(
                device=device,
                dtype=self.dtype,
                vram=self.vram,
                preview_every=self.preview_every,
                threads=self.threads or None,
                upscaler=self.upscaler,
                segmenter=self.segmenter,
                models_on_device_gigabytes=self.models_on_device_gigabytes,
                models_in_memory_gigabytes=self.models_in_memory_gigabytes,
                overlap=self.overlap,
                channels_last=self.channels_last,
                attention=self.attention,
                compile=self.compile,
                compile_folder=str(self.compile_folder),
                vae_dtype=self.vae_dtype,
                guided_share=self.guided_share,
                fp8=self.fp8,
            )
            for device in self.devices
        )


class ModelSection(Section):
    """One of `[models.<name>]`; the fields are those of `ModelSpec`, and those of its `Draft` begin with `draft_`."""

    source: Annotated[str, Field(min_length=1), Takes("a Hugging Face id, a folder or a .safetensors file")]
    variant: str = ""
    native_size: Annotated[Whole, Field(ge=64, le=2048, multiple_of=8), Takes("64 to 2048, a multiple of 8")] = 1024
    num_inference_steps: Annotated[Whole, Field(ge=1, le=MOST_STEPS)] = 30
    guidance_scale: Annotated[Number, Field(ge=1, le=20)] = 5.0
    cross_attention_dim: Annotated[Whole, Field(ge=1, le=65536)] = 2048
    max_batch: Annotated[Whole, Field(ge=1, le=64)] = 4
    refiner: Annotated[str, Takes("a Hugging Face id, a folder, a .safetensors file, or nothing")] = ""
    draft_lora: Annotated[str, Takes("the name of a LoRA, or nothing")] = ""
    draft_steps: Annotated[Whole, Field(ge=1, le=MOST_STEPS)] = 6
    draft_guidance_scale: Annotated[Number, Field(ge=1, le=20)] = 1.5
    draft_scheduler: Annotated[str, AfterValidator(_known_sampler), Takes("a name that --sampler takes")] = "lcm"

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
            refiner=self.refiner,
            draft=self._draft(),
        )

    def _draft(self) -> Draft | None:
        if not self.draft_lora:
            return None
        return Draft(
            lora=self.draft_lora,
            num_inference_steps=self.draft_steps,
            guidance_scale=self.draft_guidance_scale,
            scheduler=self.draft_scheduler,
        )


class QueueSection(Section):
    instance: Annotated[str, Field(pattern=r"^[^/\s]{0,60}$"), Takes("up to 60 characters, no slash or space")] = ""
    lease_seconds: Annotated[Whole, Field(ge=10, le=3600)] = 60
    hang_seconds: Annotated[Whole, Field(ge=10, le=86400)] = 600
    stop_grace_seconds: Annotated[Whole, Field(ge=0, le=600)] = 20
    batch_wait_seconds: Annotated[Number, Field(ge=0, le=30)] = 0.0

    def instance_name(self) -> str:
        """What this program is called among those that share a database."""
        return self.instance or socket.gethostname()

    def engine(self) -> EngineSettings:
        """What the engine is told of this section."""
        return EngineSettings(hang_seconds=self.hang_seconds)

    def dispatcher(self) -> QueueSettings:
        """What the dispatcher is told of this section."""
        return QueueSettings(lease_seconds=self.lease_seconds, batch_wait_seconds=self.batch_wait_seconds)


class ClusterSection(Section):
    address: Annotated[str, Field(pattern=r"^([^\s/:]+:[0-9]{1,5})?$"), Takes("host:port, or nothing")] = ""
    workers: Annotated[Whole, Field(ge=1, le=1024)] = 1
    gpus_per_worker: Annotated[Number, Field(ge=0, le=1)] = 1.0
    cpus_per_worker: Annotated[Number, Field(ge=0, le=1024)] = 1.0
    memory_gigabytes: Annotated[Number, Field(ge=0, le=65536)] = 0.0
    gpu_memory_gigabytes: Annotated[Number, Field(ge=0, le=65536)] = 0.0

    def settings(self, *, at_most: int | None = None) -> ClusterSettings:
        """What the engine is told of this section, of no more than so many workers."""
        return ClusterSettings(
            address=self.address,
            workers=self.workers if at_most is None else min(self.workers, at_most),
            gpus_per_worker=self.gpus_per_worker,
            cpus_per_worker=self.cpus_per_worker,
            memory_gigabytes=self.memory_gigabytes,
            gpu_memory_gigabytes=self.gpu_memory_gigabytes,
        )


class QuotaSection(Section):
    daily_credits: Annotated[Whole, Field(ge=0, le=1_000_000)] = 100
    max_queued_jobs: Annotated[Whole, Field(ge=1, le=1000)] = 10
    relaxed_jobs_per_day: Annotated[Whole, Field(ge=0, le=100_000)] = 25
    max_queued_relaxed_jobs: Annotated[Whole, Field(ge=1, le=1000)] = 4


class LimitsSection(Section):
    steps: Annotated[Whole, Field(ge=1, le=MOST_STEPS)] = 60
    prompt_length: Annotated[Whole, Field(ge=1, le=6000)] = 2000  # 6,000 is Discord's own limit
    upload_megabytes: Annotated[Whole, Field(ge=1, le=500)] = 20  # 500 is Discord's own limit
    upload_pixels: Annotated[Whole, Field(ge=100_000, le=200_000_000)] = 50_000_000
    orders_per_minute: Annotated[Whole, Field(ge=1, le=10_000)] = 20
    uploads_per_minute: Annotated[Whole, Field(ge=1, le=10_000)] = 15
    interactions_per_minute: Annotated[Whole, Field(ge=1, le=10_000)] = 60
    direct_messages: bool = True

    def rates(self, clock: Clock) -> Rates:
        """How often a member may ask for something."""
        return Rates.of(
            interactions_per_minute=self.interactions_per_minute,
            orders_per_minute=self.orders_per_minute,
            pictures_per_minute=self.uploads_per_minute,
            clock=clock,
        )

    def intake(self) -> IntakeLimits:
        """What the intake of uploaded pictures is told of this section."""
        return IntakeLimits(megabytes=self.upload_megabytes, pixels=self.upload_pixels)


class SafetySection(Section):
    classifier: Annotated[str, Takes("a Hugging Face id, a folder, or nothing")] = ""
    label: Annotated[str, Takes("one of the classifier's labels")] = ""
    threshold: Annotated[Number, Field(gt=0, le=1), Takes("above 0, up to 1")] = 0.5
    action: Literal["spoiler", "block"] = "block"
    age_restricted_action: Literal["deliver", "spoiler", "block"] = "spoiler"

    def policy(self) -> SafetyPolicy | None:
        """What the queue does by the classifier's scores; None without a classifier."""
        if not self.classifier:
            return None
        return SafetyPolicy(
            threshold=self.threshold,
            action=Verdict(self.action),
            age_restricted_action=Verdict(self.age_restricted_action),
        )


class StorageSection(Section):
    database: Annotated[
        str, Field(repr=False, pattern=r"^(sqlite\+aiosqlite|postgresql\+asyncpg)://"),
        Takes("sqlite+aiosqlite:///path or postgresql+asyncpg://user@host/name"),
    ] = SQLITE + "data/limner.sqlite3"  # fmt: skip
    files: Annotated[
        Path | str, BeforeValidator(_folder_or_bucket), Takes("a path, s3://bucket or s3://bucket/prefix")
    ] = Path("data/files")  # fmt: skip

    def sqlite_file(self) -> Path | None:
        """The database's file; None for a database that is a server, or in memory."""
        name = self.database.removeprefix(SQLITE)
        return None if name in (self.database, "") or name.startswith(":memory:") else Path(name)


Days = Annotated[Whole, Field(ge=0, le=36_500)]


class RetentionSection(Section):
    """How long things are kept, in days; 0: for ever."""

    pictures_days: Days = 0
    jobs_days: Days = 0
    log_days: Days = 0
    uploads_days: Days = 90


class LogsSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class MetricsSection(Section):
    enabled: bool = False
    host: Annotated[str, Field(min_length=1), Takes("a host name or address")] = "127.0.0.1"
    port: Annotated[Whole, Field(ge=0, le=65535)] = 9464
