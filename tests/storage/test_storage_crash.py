"""kill -9 in the midst of it: what was promised is there, nothing is half there, and the rest runs again."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select
from storage_databases import left_alone
from storage_samples import ANNA, HARBOUR

from generation.job import JobStatus
from storage.database import Database
from storage.storage import open_storage
from storage.tables import CreditEntryRow, EntryKind

ROOT = Path(__file__).parents[2]

# Orders and draws without end, and says what it was promised as soon as it was.
PROGRAM = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from storage_samples import order, pictures
from storage.storage import open_storage

async def work(storage, worker):
    while True:
        job = await storage.jobs.order(order(), allowance=None, max_queued=10_000)
        print("queued", job.id, flush=True)
        await storage.jobs.lease([job.id], worker=worker, seconds=60)
        await storage.jobs.finish(job.id, worker=worker, pictures=pictures())
        print("done", job.id, flush=True)

async def main():
    async with open_storage(database=sys.argv[1], files=Path(sys.argv[2])) as storage:
        await asyncio.gather(work(storage, "host-a/cuda:0"), work(storage, "host-a/cuda:1"))

asyncio.run(main())
"""


@pytest.mark.crash
async def test_what_was_promised_outlives_a_kill(database: str, tmp_path: Path) -> None:
    promised = await asyncio.to_thread(run_and_kill, database, tmp_path, promises=25)
    await left_alone(database)

    async with open_storage(database=database, files=tmp_path) as storage, Database.open(database) as opened:
        for status, job_id in promised:
            job = await storage.jobs.get(job_id)
            assert job is not None
            if status == "done":
                assert job.status is JobStatus.DONE
                pictures = [await storage.images.png(image) for image in await storage.images.of_job(job_id)]
                assert pictures == [b"PNG 0", b"PNG 1"]

        back = await storage.jobs.take_back_from("host-a")
        assert all(job.status is JobStatus.QUEUED for job in back)
        async with opened.reading() as session:
            entries = (await session.scalars(select(CreditEntryRow))).all()
        unfinished = {job.id for job in await storage.jobs.waiting()}
        held = [entry.job_id for entry in entries if entry.kind is EntryKind.HOLD]
        settled = [entry.job_id for entry in entries if entry.kind is EntryKind.SETTLE]
        assert len(held) == len(set(held))
        assert sorted(settled) == sorted(set(held) - unfinished)
        done = await storage.jobs.of_user(ANNA, guild_id=HARBOUR, statuses=[JobStatus.DONE])
        assert len(done) == len(settled)


def run_and_kill(database: str, files: Path, *, promises: int) -> list[tuple[str, int]]:
    """Kill the program when it has said so many things; all that it had said by then."""
    search = f"import sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests/storage')!r}]\n"
    process = subprocess.Popen(
        [sys.executable, "-c", search + PROGRAM, database, str(files)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as said:
        lines = [said.readline() for _ in range(promises)]
        process.kill()
        lines += said.readlines()
    process.wait()
    words = [line.split() for line in lines if line.endswith("\n")]
    return [(status, int(job_id)) for status, job_id in words]
