"""Orders on a real database: what is queued, what is charged, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.catalogue import build_catalogue
from bot.config import load_config
from bot.flags import Request
from bot.orders import Customer, ImageGone, JobGone, Orders
from bot.rules.rules import Rules
from generation.engine.protocol import Picture
from generation.errors import UnknownName
from generation.job import Job, JobKind, JobStatus, Priority
from storage.errors import OutOfCredits, TooManyJobs
from storage.migrations import migrate
from storage.storage import Storage, open_storage

GUILD, CHANNEL, ANNA, BEN = 10, 20, 1, 2
NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)  # all the time: at midnight there are new credits
CUSTOMER = Customer(user_id=ANNA, guild_id=GUILD, channel_id=CHANNEL)
CONFIG = '[quota]\ndaily_credits = 9\nmax_queued_jobs = 2\n[generation]\nmodel = "pocket"\n'


class Shop:
    """Orders, what they submitted, and the storage behind them."""

    def __init__(self, storage: Storage, config: Path) -> None:
        settings = load_config(config)
        self.storage = storage
        self.submitted: list[Job] = []
        self.orders = Orders(
            storage=storage,
            catalogue=build_catalogue(settings),
            config=settings,
            rules=Rules(),
            submit=self.submitted.append,
            draw_seed=lambda: 1000,
        )

    async def draw(self, job: Job) -> list[int]:
        """Let the job be done; its images' ids."""
        await self.storage.jobs.lease([job.id], worker="w/cpu", seconds=0)
        pictures = [
            Picture(png=f"{job.id}/{index}".encode(), width=recipe.width, height=recipe.height)
            for index, recipe in enumerate(job.recipes)
        ]
        assert await self.storage.jobs.finish(job.id, worker="w/cpu", pictures=pictures)
        return [image.id for image in await self.storage.images.of_job(job.id)]

    async def available(self, user_id: int = ANNA) -> int | None:
        return (await self.storage.credits.balance(user_id, GUILD, allowance=9)).available


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    config = tmp_path / "config.toml"
    config.write_text(CONFIG)
    database = f"sqlite+aiosqlite:///{tmp_path}/limner.sqlite3"
    await asyncio.to_thread(migrate, database)
    async with open_storage(database=database, files=tmp_path / "files", clock=lambda: NOON) as storage:
        yield Shop(storage, config)


async def test_an_order_is_durable_paid_and_submitted(shop: Shop) -> None:
    job = await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", style="ink"))
    assert shop.submitted == [job]
    assert await shop.storage.jobs.get(job.id) == job
    assert (job.status, job.cost, job.style) == (JobStatus.QUEUED, 4, "ink")
    assert job.request == "a boat --style ink"
    assert [recipe.seed for recipe in job.recipes] == [1000, 1001, 1002, 1003]
    assert await shop.available() == 5


async def test_a_named_seed_is_taken(shop: Shop) -> None:
    job = await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", seed=0))
    assert job.recipes[0].seed == 0


async def test_the_same_key_orders_once(shop: Shop) -> None:
    customer = Customer(user_id=ANNA, guild_id=GUILD, channel_id=CHANNEL, request_key="interaction/5")
    first = await shop.orders.imagine(customer, Request(prompt="a boat"))
    assert await shop.orders.imagine(customer, Request(prompt="a boat")) == first
    assert {job.id for job in shop.submitted} == {first.id}
    await shop.draw(first)
    shop.submitted.clear()
    assert (await shop.orders.imagine(customer, Request(prompt="a boat"))).id == first.id
    assert shop.submitted == []
    assert await shop.available() == 5


async def test_what_cannot_be_paid_is_refused_and_nothing_is_queued(shop: Shop) -> None:
    await shop.orders.imagine(CUSTOMER, Request(prompt="a boat"))
    with pytest.raises(OutOfCredits) as caught:
        await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", steps=40))
    assert (caught.value.fields["cost"], caught.value.fields["available"]) == (8, 5)
    assert len(shop.submitted) == 1


async def test_the_servers_default_wins_over_the_settings_and_moderators_are_not_limited(shop: Shop) -> None:
    await shop.storage.credits.set_default(GUILD, 3)
    with pytest.raises(OutOfCredits):
        await shop.orders.imagine(CUSTOMER, Request(prompt="a boat"))
    moderator = Customer(user_id=BEN, guild_id=GUILD, channel_id=CHANNEL, moderator=True)
    await shop.orders.imagine(moderator, Request(prompt="a boat", steps=60))
    await shop.storage.credits.set_allowance(BEN, GUILD, 1)
    with pytest.raises(OutOfCredits):
        await shop.orders.imagine(moderator, Request(prompt="a boat"))


async def test_too_many_jobs_are_refused(shop: Shop) -> None:
    for _ in range(2):
        await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", count=1))
    with pytest.raises(TooManyJobs):
        await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", count=1))


async def test_a_bad_request_costs_nothing(shop: Shop) -> None:
    with pytest.raises(UnknownName):
        await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", style="nothing"))
    assert shop.submitted == []
    assert await shop.available() == 9


async def test_anyone_may_vary_a_picture_and_pays_for_it(shop: Shop) -> None:
    images = await shop.draw(await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", style="ink", seed=7)))
    ben = Customer(user_id=BEN, guild_id=GUILD, channel_id=CHANNEL)
    job = await shop.orders.variations(ben, images[1], JobKind.VARY_STRONG)
    assert (job.user_id, job.kind, job.parent_image_id, job.style) == (BEN, JobKind.VARY_STRONG, images[1], "ink")
    assert job.request == "a boat --style ink"
    digests = {recipe.source.digest for recipe in job.recipes if recipe.source}
    parent = await shop.storage.images.get(images[1])
    assert parent is not None
    assert digests == {parent.digest}
    assert await shop.available() == 5
    assert await shop.available(BEN) == 9 - job.cost


async def test_a_picture_is_upscaled_to_twice_its_size(shop: Shop) -> None:
    images = await shop.draw(await shop.orders.imagine(CUSTOMER, Request(prompt="a boat")))
    job = await shop.orders.upscale(CUSTOMER, images[0], JobKind.UPSCALE_CREATIVE)
    assert [(recipe.width, recipe.height) for recipe in job.recipes] == [(256, 256)]
    assert (job.kind, job.cost) == (JobKind.UPSCALE_CREATIVE, 3)


async def test_again_orders_the_same_with_another_seed(shop: Shop) -> None:
    first = await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", seed=7, count=2))
    job = await shop.orders.again(CUSTOMER, first.id)
    assert [recipe.seed for recipe in job.recipes] == [1000, 1001]
    assert (job.kind, job.request) == (JobKind.IMAGINE, "a boat --n 2")


async def test_again_of_variations_starts_from_the_same_picture(shop: Shop) -> None:
    images = await shop.draw(await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", count=1)))
    varied = await shop.orders.variations(CUSTOMER, images[0], JobKind.VARY_SUBTLE)
    job = await shop.orders.again(CUSTOMER, varied.id)
    assert (job.kind, job.parent_image_id) == (JobKind.VARY_SUBTLE, images[0])
    assert job.recipes[0].source == varied.recipes[0].source


@pytest.mark.parametrize(("owner", "stranger"), [(GUILD, GUILD + 1), (GUILD, None), (None, GUILD), (None, None)])
async def test_buttons_do_not_reach_into_other_servers_or_other_peoples_messages(
    shop: Shop, owner: int | None, stranger: int | None
) -> None:
    anna = Customer(user_id=ANNA, guild_id=owner, channel_id=CHANNEL)
    job = await shop.orders.imagine(anna, Request(prompt="a boat", count=1))
    images = await shop.draw(job)
    ben = Customer(user_id=BEN, guild_id=stranger, channel_id=CHANNEL)
    with pytest.raises(ImageGone):
        await shop.orders.variations(ben, images[0], JobKind.VARIATIONS)
    with pytest.raises(ImageGone):
        await shop.orders.upscale(ben, images[0], JobKind.UPSCALE_SUBTLE)
    with pytest.raises(JobGone):
        await shop.orders.again(ben, job.id)
    assert await shop.orders.variations(anna, images[0], JobKind.VARIATIONS)


async def test_a_picture_or_job_that_is_not_there_is_refused(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(ImageGone):
        await shop.orders.variations(CUSTOMER, 99, JobKind.VARIATIONS)
    with pytest.raises(JobGone):
        await shop.orders.again(CUSTOMER, 99)
    images = await shop.draw(await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", count=1)))
    for file in (tmp_path / "files").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(ImageGone):
        await shop.orders.upscale(CUSTOMER, images[0], JobKind.UPSCALE_SUBTLE)


async def test_a_relaxed_order_costs_nothing_and_its_work_is_known_all_the_same(shop: Shop) -> None:
    job = await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", steps=60, priority=Priority.RELAX))
    assert (job.priority, job.cost, job.price) == (Priority.RELAX, 12, 0)
    assert await shop.available() == 9
    assert await shop.storage.jobs.cancel(job.id)
    assert await shop.available() == 9


async def test_whoever_set_relax_draws_so_unless_they_say_fast_and_by_buttons_too(shop: Shop) -> None:
    await shop.orders.defaults.change(ANNA, relax=True)
    first = await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", count=1))
    images = await shop.draw(first)
    varied = await shop.orders.variations(CUSTOMER, images[0], JobKind.VARY_SUBTLE)
    assert (first.priority, varied.priority) == (Priority.RELAX, Priority.RELAX)
    assert await shop.available() == 9
    await shop.draw(varied)
    fast = await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", count=1, priority=Priority.FAST))
    assert fast.priority is Priority.FAST
    assert await shop.available() == 8


async def test_whoever_presses_a_button_draws_at_their_own_speed(shop: Shop) -> None:
    first = await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", count=1, priority=Priority.RELAX))
    images = await shop.draw(first)
    ben = Customer(user_id=BEN, guild_id=GUILD, channel_id=CHANNEL)
    for ordering in (
        shop.orders.variations(ben, images[0], JobKind.VARY_SUBTLE),
        shop.orders.again(ben, first.id),
    ):
        job = await ordering
        assert job.priority is Priority.FAST
        assert "--relax" not in job.request


async def test_what_is_made_of_a_picture_behind_a_spoiler_gets_there_too(shop: Shop) -> None:
    first = await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", count=1, spoiler=True))
    assert (first.spoiler, first.request) == (True, "a boat --n 1 --spoiler")
    images = await shop.draw(first)
    again = await shop.orders.again(CUSTOMER, first.id)
    upscaled = await shop.orders.upscale(CUSTOMER, images[0], JobKind.UPSCALE_SUBTLE)
    await shop.draw(again)
    drawn_again = await shop.orders.redraw(CUSTOMER, images[0])
    assert [job.spoiler for job in (again, upscaled, drawn_again)] == [True, True, True]
    await shop.draw(upscaled)
    plain = await shop.orders.imagine(CUSTOMER, Request(prompt="a boat", count=1))
    assert not plain.spoiler
