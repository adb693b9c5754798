"""A backup that is made while people order, restored, and worked with; and what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

import storage.backup
from bot.config import PROGRAM_FOLDER
from generation.job import Job, JobStatus
from storage.backup import CONTENTS, Contents, back_up, read_contents, restore
from storage.errors import BackupElsewhere, BackupUnsound, FilesUnwritable, FolderTaken, StorageUnavailable
from storage.migrations import migrate
from tests.queue.bench import order, until
from tests.queue.test_crashes import House, house

SETTINGS = '[storage]\ndatabase = "sqlite+aiosqlite:///limner.sqlite3"\nfiles = "files"\n'
BACKUPS = 2
WAITING = 10  # jobs, of which a restored program has no more to draw, however long the backup took
MEMBERS = 500  # each of whom may spend a hundred credits
# How far a job may have come between a backup and now.
LATER = {
    "queued": {"queued", "running", "done", "cancelled"},
    "running": {"queued", "running", "done", "cancelled"},
    "done": {"done"},
    "cancelled": {"cancelled"},
}
# What a job's movements of credits are called together, by how it stands.
MOVEMENTS = {"queued": "hold", "running": "hold", "done": "hold settle", "cancelled": "hold refund"}


def database_in(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder / 'limner.sqlite3'}"


def folder_with_settings(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.toml").write_text(SETTINGS)
    return folder


async def limner(folder: Path, *words: str) -> str:
    """Run the command line in a process of its own, with the settings of that folder; what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIMNER_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", *words, "--config", str(folder / "config.toml")),
        cwd=PROGRAM_FOLDER,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


def ask(folder: Path, question: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "limner.sqlite3")) as connection:
        return connection.execute(question).fetchall()


def statuses(folder: Path) -> dict[int, str]:
    return {int(str(number)): str(status) for number, status in ask(folder, "SELECT id, status FROM jobs")}


async def live(at: House, stopped: asyncio.Event) -> None:
    """Members order, cancel, and delete what was drawn, as fast as it is drawn."""
    jobs: list[Job] = []
    while not stopped.is_set():
        await asyncio.sleep(0.01)
        if at.dispatcher.depth() >= WAITING:
            continue
        new = order("red slow:0.01", "blue", user=len(jobs) % MEMBERS + 1)
        width = 64 + 8 * (len(jobs) % 100)  # so that few files are alike
        jobs.append(await at.submit(replace(new, recipes=tuple(replace(one, width=width) for one in new.recipes))))
        if len(jobs) % 5 == 0:
            await at.dispatcher.cancel(jobs[-1].id)
        if len(jobs) % 4 == 0:
            for image in await at.storage.images.of_job(jobs[len(jobs) // 2].id):
                await at.storage.deletion.delete_images([image.id], by=image.user_id)


async def test_backups_are_whole_while_orders_come_in(tmp_path: Path) -> None:
    original = folder_with_settings(tmp_path / "original")
    stopped = asyncio.Event()
    async with house(original) as at:
        living = asyncio.create_task(live(at, stopped))
        for number in range(BACKUPS):
            before = max(statuses(original), default=0)
            assert "Backed up to" in await limner(original, "backup", str(tmp_path / f"backup-{number}"))
            await until(lambda before=before: living.done() or max(statuses(original)) > before)  # life goes on
        stopped.set()
        await living
    now = statuses(original)

    for number in range(BACKUPS):
        backup, restored = tmp_path / f"backup-{number}", folder_with_settings(tmp_path / f"restored-{number}")
        contents = read_contents(backup)
        assert (contents.missing, contents.damaged) == ((), ())
        assert "Restored from" in await limner(restored, "restore", str(backup))
        check_sound(restored, contents, now)
        await finish(restored)


def check_sound(folder: Path, contents: Contents, now: dict[int, str]) -> None:
    """One moment of the original: nothing half done, no picture without its file, no credit lost or made."""
    then = statuses(folder)
    assert len(then) == contents.jobs > 0
    assert set(then) == set(range(1, len(then) + 1))
    assert all(now[job_id] in LATER[status] for job_id, status in then.items())
    assert ask(folder, "PRAGMA foreign_key_check") == []
    movements = "SELECT job_id, group_concat(kind, ' ') FROM (SELECT * FROM credit_entries ORDER BY id) GROUP BY job_id"
    assert dict(ask(folder, movements)) == {job_id: MOVEMENTS[status] for job_id, status in then.items()}
    digests = [str(digest) for (digest,) in ask(folder, "SELECT digest FROM images")]
    assert len(digests) == contents.images
    for digest in digests:
        assert hashlib.sha256((folder / "files" / digest[:2] / digest).read_bytes()).hexdigest() == digest


async def finish(folder: Path) -> None:
    """The program goes on from the backup: what waited or ran is drawn, and paid once."""
    async with house(folder) as at:
        await at.storage.jobs.take_back_from("here")
        waiting = await at.storage.jobs.waiting()
        for job in waiting:
            at.dispatcher.submit(job)
        await at.end_of(*waiting)
        assert {await status_of(at, job.id) for job in waiting} <= {JobStatus.DONE}
    assert set(statuses(folder).values()) <= {"done", "cancelled"}
    unsettled = "SELECT count(*) FROM credit_entries WHERE kind = 'hold'"
    settled = "SELECT count(*) FROM credit_entries WHERE kind IN ('settle', 'refund')"
    assert ask(folder, unsettled) == ask(folder, settled)


async def status_of(at: House, job_id: int) -> JobStatus | None:
    job = await at.storage.jobs.get(job_id)
    return None if job is None else job.status


def change(database: Path, statement: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(statement)


def name_in(database: Path, digest: str) -> None:
    """A row of a picture in that file."""
    change(
        database,
        'INSERT INTO images (job_id, "index", user_id, recipe, digest, width, height, created_at)'
        f" VALUES (1, 0, 1, '{{}}', '{digest}', 8, 8, '2026-01-01')",
    )


class TestOneByOne:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """A database and one file that no row names."""
        folder = folder_with_settings(tmp_path / "original")
        migrate(database_in(folder))
        digest = hashlib.sha256(b"picture").hexdigest()
        (folder / "files" / digest[:2]).mkdir(parents=True)
        (folder / "files" / digest[:2] / digest).write_bytes(b"picture")
        return folder

    def back_up(self, folder: Path, name: str = "backup") -> tuple[Path, Contents]:
        target = folder.parent / name
        return target, back_up(database=database_in(folder), files=folder / "files", target=target)

    def restore(self, source: Path, folder: Path) -> Contents:
        return restore(source=source, database=database_in(folder), files=folder / "files")

    @pytest.mark.parametrize("deleted_at_once", [False, True])
    def test_what_is_drawn_and_deleted_between_files_and_database(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, deleted_at_once: bool
    ) -> None:
        digest = hashlib.sha256(b"new").hexdigest()
        new = folder / "files" / digest[:2] / digest
        copy_database, copied = storage.backup._copy_database, []

        def busy(original: Path, copy: Path) -> None:
            if not copied:
                new.parent.mkdir(exist_ok=True)
                new.write_bytes(b"new")
                name_in(original, digest)
            copy_database(original, copy)
            if deleted_at_once and not copied:
                change(original, "DELETE FROM images")
                new.unlink()
            copied.append(copy)

        monkeypatch.setattr(storage.backup, "_copy_database", busy)
        target, contents = self.back_up(folder)
        expected = ((), 0, 2) if deleted_at_once else ((), 1, 1)
        assert (contents.missing, contents.images, len(copied)) == expected
        assert (target / "files" / digest[:2] / digest).exists() is not deleted_at_once

    def test_files_keep_their_times_and_half_written_ones_stay_behind(self, folder: Path, tmp_path: Path) -> None:
        [file] = (folder / "files").glob("??/*")
        os.utime(file, (1_700_000_000, 1_700_000_000))
        file.with_name(".abc.part").write_bytes(b"half")
        file.with_name("notes.txt").write_bytes(b"somebody's")
        target, contents = self.back_up(folder)
        assert (contents.files, contents.bytes) == (1, 7)
        self.restore(target, tmp_path / "restored")
        [copy] = (tmp_path / "restored" / "files").glob("??/*")
        assert (copy.name, copy.stat().st_mtime, copy.read_bytes()) == (file.name, 1_700_000_000, b"picture")

    def test_a_rotten_file_that_is_there_already_is_replaced(self, folder: Path) -> None:
        target, _ = self.back_up(folder)
        [file] = (folder / "files").glob("??/*")
        file.write_bytes(b"rotten!")
        (folder / "limner.sqlite3").unlink()
        self.restore(target, folder)
        assert file.read_bytes() == b"picture"

    def test_an_error_of_no_name_is_told_as_what_could_not_be_written(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        closed = sqlite3.connect(":memory:")
        closed.close()
        monkeypatch.setattr(sqlite3, "connect", lambda _: closed)
        with pytest.raises(FilesUnwritable, match="closed database"):
            self.back_up(folder)

    def test_what_the_original_lacks_is_told(self, folder: Path) -> None:
        [file] = (folder / "files").glob("??/*")
        file.write_bytes(b"rotten")
        name_in(folder / "limner.sqlite3", "ab" * 32)
        _, contents = self.back_up(folder)
        assert (contents.missing, contents.damaged, contents.files) == (("ab" * 32,), (file.name,), 0)

    def test_a_folder_with_something_in_it_is_left_alone(self, folder: Path, tmp_path: Path) -> None:
        target, _ = self.back_up(folder)
        before = (target / CONTENTS).read_text()
        with pytest.raises(FolderTaken):
            self.back_up(folder)
        assert (target / CONTENTS).read_text() == before
        with pytest.raises(FolderTaken):  # a database is there
            self.restore(target, folder)
        (tmp_path / "empty").mkdir()
        self.back_up(folder, "empty")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["backup", "empty", "original"]  # nothing beside

    def test_a_log_without_its_database_is_not_taken_for_the_restored_one(self, folder: Path, tmp_path: Path) -> None:
        target, _ = self.back_up(folder)
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "limner.sqlite3-wal").write_bytes(b"of another database")
        with pytest.raises(FolderTaken):
            self.restore(target, tmp_path / "other")

    def test_a_damaged_database_is_no_backup(self, folder: Path, tmp_path: Path) -> None:
        database = folder / "limner.sqlite3"
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = bytearray(database.read_bytes())
        pages[4096 * 3 : 4096 * 6] = os.urandom(4096 * 3)
        database.write_bytes(pages)
        with pytest.raises(BackupUnsound):
            self.back_up(folder)
        assert [path.name for path in tmp_path.iterdir()] == ["original"]

    @pytest.mark.parametrize("room", [20_000, 150_000], ids=["for nothing", "for files"])
    def test_where_there_is_no_room_nothing_stays(self, folder: Path, tmp_path: Path, room: int) -> None:
        for number in range(3):
            digest = hashlib.sha256(bytes([number]) * 100_000).hexdigest()
            (folder / "files" / digest[:2]).mkdir(exist_ok=True)
            (folder / "files" / digest[:2] / digest).write_bytes(bytes([number]) * 100_000)
        done = subprocess.run(
            [sys.executable, "-m", "bot", "backup", str(tmp_path / "backup"), "--config", str(folder / "config.toml")],
            cwd=PROGRAM_FOLDER,
            capture_output=True,
            text=True,
            check=False,
            # No file may grow beyond it: what the system says then is as good as a full disk. What Python compiles
            # would be cut off there too, and stay so for others.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "cannot be written" in done.stderr
        assert "Traceback" not in done.stderr
        assert [path.name for path in tmp_path.iterdir()] == ["original"]

    @pytest.mark.parametrize("harm", ["no contents", "half a database", "a rotten file", "a file that went"])
    def test_what_is_no_whole_backup_is_not_restored(self, folder: Path, tmp_path: Path, harm: str) -> None:
        [file] = (folder / "files").glob("??/*")
        name_in(folder / "limner.sqlite3", file.name)
        target, _ = self.back_up(folder)
        [file] = (target / "files").glob("??/*")
        if harm == "no contents":
            (target / CONTENTS).unlink()
        elif harm == "half a database":
            os.truncate(target / "limner.sqlite3", 4096 * 4)
        elif harm == "a rotten file":
            file.write_bytes(b"rotten")
        else:
            file.unlink()
        with pytest.raises(BackupUnsound):
            self.restore(target, tmp_path / "restored")
        assert not (tmp_path / "restored" / "limner.sqlite3").exists()

    def test_no_database_and_another_kind_of_database(self, tmp_path: Path) -> None:
        with pytest.raises(StorageUnavailable):
            back_up(database=database_in(tmp_path), files=tmp_path / "files", target=tmp_path / "backup")
        server = "postgresql+asyncpg://limner:swordfish@127.0.0.1/limner"
        for refused in (
            lambda: back_up(database=server, files=tmp_path / "files", target=tmp_path / "backup"),
            lambda: restore(source=tmp_path, database=server, files=tmp_path / "files"),
        ):
            with pytest.raises(BackupElsewhere) as caught:
                refused()
            assert "swordfish" not in str(caught.value)
        assert list(tmp_path.iterdir()) == []
