"""Orders and pictures as the tests of storage want them, and a clock that stands until it is moved."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from generation.engine.protocol import Picture
from generation.job import Job, JobKind, NewJob
from generation.recipe import LoraUse, Recipe, Source
from storage.bans import Ban
from storage.storage import Storage

ANNA, BEN, CLEO = 80_351_110_224_678_912, 9_007_199_254_740_993, 2**63 - 1  # snowflakes pass 2⁵³, and may reach 2⁶³
HARBOUR, ORCHARD = 41_771_983_423_143_937, 81_384_788_765_712_384
WORKER = "host-a/cuda:0"


class Clock:
    """The time, at 10:00 on a day until `tick` moves it."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 14, 10, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def tick(self, **by: float) -> datetime:
        self.time += timedelta(**by)
        return self.time


def recipe(**changes: Any) -> Recipe:
    plain = Recipe(
        prompt="a red boat", model="pocket", width=128, height=96, seed=7, num_inference_steps=20, guidance_scale=5.0
    )
    return replace(plain, **changes)


def rich_recipe() -> Recipe:
    """A recipe in which nothing is at its default, with a prompt that is not ASCII."""
    return recipe(
        prompt="ein rotes Boot — 紅い船 🛶 \"'\\ %s",
        negative_prompt="fog",
        scheduler="euler",
        loras=(LoraUse(name="neon", weight=-0.5), LoraUse(name="ink")),
        source=Source(digest="ab" * 32, strength=0.3),
    )


def order(**changes: Any) -> NewJob:
    plain = NewJob(
        kind=JobKind.IMAGINE,
        recipes=(recipe(), recipe(seed=8)),
        request="a red boat --n 2",
        style=None,
        user_id=ANNA,
        guild_id=HARBOUR,
        channel_id=5,
        cost=2,
    )
    return replace(plain, **changes)


def pictures(count: int = 2) -> list[Picture]:
    return [Picture(png=b"PNG %d" % number, width=128, height=96) for number in range(count)]


async def ordered(storage: Storage, **changes: Any) -> Job:
    """A queued job of somebody without limits."""
    return await storage.jobs.order(order(**changes), allowance=None, max_queued=1000)


async def leased(storage: Storage, clock: Clock, *, worker: str = WORKER, **changes: Any) -> Job:
    """A running job whose lease runs out in a minute."""
    job = await ordered(storage, **changes)
    [running] = await storage.jobs.lease([job.id], worker=worker, seconds=60)
    return running


async def ban_of(storage: Storage, user_id: int, guild_id: int) -> Ban | None:
    """The ban that is in force there."""
    return next((ban for ban in await storage.bans.in_server(guild_id) if ban.user_id == user_id), None)


async def favourites_of(storage: Storage, user_id: int) -> list[int]:
    """The ids of the pictures that the person likes."""
    return [one["image_id"] for one in (await storage.personal_data.told(user_id))["favourites"]]
