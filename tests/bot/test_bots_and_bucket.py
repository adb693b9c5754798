"""Two bots that share PostgreSQL and a bucket, and one of them is killed."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from generation.job import Job, JobStatus
from tests.bot.test_several_bots import accounts, bot_with_people, doomed_bot, let_leases_run_out, write_settings
from tests.bot.world import PATIENCE, World
from tests.postgres import drop_database, make_database, needs_postgres
from tests.s3_server import make_bucket, s3_server

pytestmark = [needs_postgres, pytest.mark.crash]

RED = (255, 0, 0)


@pytest.fixture
def database() -> Iterator[str]:
    url = make_database()
    yield url
    drop_database(url)


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty one; it is what all bots of the test are told, and how to get there."""
    address = "s3://limner-bots/pictures"
    with s3_server() as endpoint:
        make_bucket(endpoint, "limner-bots")
        monkeypatch.setenv("LIMNER_STORAGE__FILES", address)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield address


def red_sea() -> tuple[str, bytes]:
    file = io.BytesIO()
    Image.new("RGB", (96, 64), RED).save(file, "PNG")
    return "sea.png", file.getvalue()


async def job_of(world: World, job_id: int) -> Job:
    job = await world.app.services.storage.jobs.get(job_id)
    assert job is not None
    return job


async def test_what_a_killed_bot_left_in_the_bucket_is_shown_and_what_it_was_drawing_is_drawn_by_the_other(
    tmp_path: Path, database: str, bucket: str
) -> None:
    write_settings(tmp_path, database, 1)
    async with bot_with_people(tmp_path, database, 0) as here:
        storage = here.app.services.storage
        here.app.services.dispatcher.pause(None)  # our own workers draw nothing
        async with asyncio.timeout(2 * PATIENCE), doomed_bot(tmp_path, 1):
            boat = await here.drawn("a boat --n 1")
            message = await here.imagine(f"a {here.held} sea --n 1 --strength 0.02", image=red_sea())
            while (await job_of(here, 2)).status is not JobStatus.RUNNING:  # noqa: ASYNC110
                await asyncio.sleep(0.02)  # there is nothing to wait on
        assert (await job_of(here, 2)).status is JobStatus.RUNNING
        here.let_go()
        here.app.services.dispatcher.resume(None)
        await let_leases_run_out(database)
        await here.finished(message)
        await here.all_told()
        assert (await job_of(here, 2)).attempt == 2
        assert [(account.drift, account.pictures) for account in await accounts(here)] == [(0, 1), (0, 1)]
        [first], [second] = [await storage.images.of_job(number) for number in (1, 2)]
        assert await storage.images.png(first) == here.bytes_of(here.now(boat))
        with Image.open(io.BytesIO(await storage.images.png(second))) as sea:  # it was drawn from what was brought
            assert max(abs(ours - red) for ours, red in zip(sea.getpixel((0, 0)), RED, strict=True)) < 10
    assert not (tmp_path / "files").exists()
