"""Copies of all that is remembered, made while the program works, and put back where there is nothing.

A backup is a folder: the database as SQLite's own backup makes it (one moment, whatever is written meanwhile), the
files that it names, and, written last, what is in it. It comes to its name whole or not at all.

Database and files are two things, and pictures may be drawn or deleted between them. A file is there before a row names
it, so the files are copied after the database; one that was deleted in between shows as missing, and then the database
is copied once more. What is missing twice is missing in the original too, and is told.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import make_url

from generation.job import UNFINISHED
from storage.errors import (
    BackupElsewhere,
    BackupOfBucket,
    BackupUnsound,
    FilesUnwritable,
    FolderTaken,
    StorageUnavailable,
)
from storage.file_needs import files_in

DATABASE = "limner.sqlite3"
FILES = "files"
CONTENTS = "backup.json"
ROUNDS = 5  # copies of a database whose pictures are deleted faster than they are copied
_CHUNK = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")  # what else may go wrong is the disk that is written to
_LEFT_OVERS = ("", "-wal", "-shm", "-journal")  # what belongs to a SQLite file, itself first


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is in a backup. `created_at` is the database's moment (ISO 8601, UTC), `revision` that of its schema.

    `missing` are the digests of files that its rows name and that the original had not either; `damaged` of those whose
    content was not what their name says. Neither is in the backup.
    """

    created_at: str
    revision: str
    jobs: int
    images: int
    files: int
    bytes: int
    missing: tuple[str, ...]
    damaged: tuple[str, ...]


def back_up(*, database: str, files: Path | str, target: Path) -> Contents:
    """Copy a SQLite database and its folder of files to a new folder; blocks. The program may work meanwhile.

    Raises `BackupElsewhere` for another database, `BackupOfBucket` for files in one, `StorageUnavailable`,
    `FolderTaken` where `target` is not empty, `BackupUnsound` when the database is damaged, `FilesUnwritable`.
    """
    original, files = _here(database, files)
    if not original.is_file():
        raise StorageUnavailable(database=database, detail="there is no such file")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise FolderTaken(path=str(target))
    with _told(target), _whole(target) as beside:
        copies = beside / FILES
        copies.mkdir()
        damaged = _copy_files(files, copies)  # the most of them, so that little is left to do after the database
        known_missing: set[str] | None = None
        for _ in range(ROUNDS):
            created_at = datetime.now(UTC)
            _copy_database(original, beside / DATABASE)
            damaged |= _copy_files(files, copies)
            missing = {digest for digest in _named_files(beside / DATABASE) if not _file(copies, digest).is_file()}
            if not missing or (known_missing is not None and missing <= known_missing):
                break
            known_missing = missing
        contents = _contents(beside, created_at, missing, damaged)
        (beside / CONTENTS).write_text(json.dumps(asdict(contents), indent=2) + "\n", encoding="utf-8")
        os.sync()
    return contents


def restore(*, source: Path, database: str, files: Path | str) -> Contents:
    """Put a backup back; blocks. No program may work with the database; sound files that are there already stay.

    Raises `BackupElsewhere`, `BackupOfBucket`, `BackupUnsound` for a folder that is no whole backup, `FolderTaken`
    where there is a database, `FilesUnwritable`. The database comes last, whole or not at all.
    """
    original, files = _here(database, files)
    contents = read_contents(source)
    for left_over in (original.with_name(original.name + ending) for ending in _LEFT_OVERS):
        if left_over.exists():
            raise FolderTaken(path=str(left_over))
    _check(source / DATABASE)
    known = {*contents.missing, *contents.damaged}
    if gone := {name for name in _named_files(source / DATABASE) if not _file(source / FILES, name).is_file()} - known:
        raise BackupUnsound(path=str(source), reason=f"the file {min(gone)} is gone")
    with _told(original):
        files.mkdir(parents=True, exist_ok=True)
        if damaged := _copy_files(source / FILES, files, trust=False):
            raise BackupUnsound(path=str(source), reason=f"the file {min(damaged)} is damaged")
        original.parent.mkdir(parents=True, exist_ok=True)
        beside = original.with_name(f".{original.name}.part")  # what an earlier try left there is of no use
        shutil.copyfile(source / DATABASE, beside)
        os.sync()
        beside.replace(original)
        os.sync()
    return contents


def read_contents(folder: Path) -> Contents:
    """What a backup says is in it. Raises `BackupUnsound`."""
    try:
        told = json.loads((folder / CONTENTS).read_text(encoding="utf-8"))
        return Contents(**(told | {name: tuple(told[name]) for name in ("missing", "damaged")}))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BackupUnsound(path=str(folder), reason=f"its {CONTENTS} cannot be read ({error})") from error


def _here(database: str, files: Path | str) -> tuple[Path, Path]:
    """The database's file and the folder of the files, where both are on this machine."""
    url = make_url(database)
    if not isinstance(files, Path):
        raise BackupOfBucket(files=files)
    if url.get_backend_name() != "sqlite":
        raise BackupElsewhere(database=url.render_as_string(hide_password=True), files=str(files))
    return Path(url.database or ""), files


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FilesUnwritable(path=str(error.filename or path), detail=error.strerror or str(error)) from error


@contextmanager
def _whole(target: Path) -> Iterator[Path]:
    """A folder beside the target that becomes it at the end of the block, or goes if that raises."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part"))
    try:
        yield beside
        beside.replace(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def _copy_database(original: Path, copy: Path) -> None:
    """As it is at one moment, in one file without a log beside it."""
    copy.unlink(missing_ok=True)
    try:
        with closing(sqlite3.connect(original)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorname", None) in _DAMAGE:  # Python's own errors have no such name
            raise BackupUnsound(path=str(original), reason=str(error)) from error
        raise FilesUnwritable(path=str(copy), detail=str(error)) from error
    _check(copy)


def _check(database: Path) -> None:
    try:
        with closing(sqlite3.connect(database)) as connection:
            [[verdict], *_] = connection.execute("PRAGMA integrity_check").fetchall()
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict != "ok":
        raise BackupUnsound(path=str(database), reason=verdict)


def _named_files(database: Path) -> set[str]:
    """The digests of all pictures, and of what unfinished jobs start from."""
    with closing(sqlite3.connect(database)) as connection:
        named = {digest for (digest,) in connection.execute("SELECT digest FROM images")}
        waiting = connection.execute(f"SELECT recipes FROM jobs WHERE status IN {tuple(map(str, UNFINISHED))}")
        return named.union(*(files_in(recipes) for (recipes,) in waiting))


def _copy_files(source: Path, target: Path, *, trust: bool = True) -> set[str]:
    """Copy the files that are not there yet, with their times; the digests of those that are damaged, and left out.

    `trust`: what is there is what its name says. Otherwise it is read, and replaced where it is not.
    """
    damaged = set()
    for path in source.glob("??/*"):
        copy = _file(target, path.name)
        if not _DIGEST.fullmatch(path.name):  # what is half written has another name
            continue
        if copy.is_file() and (trust or _is_sound(copy)):
            continue
        copy.parent.mkdir(exist_ok=True)
        beside = copy.with_name(f".{copy.name}.part")
        try:
            sound = _copy_file(path, beside)
        except FileNotFoundError:  # deleted a moment ago
            continue
        if sound:
            beside.replace(copy)
        else:
            beside.unlink()
            damaged.add(path.name)
    return damaged


def _copy_file(source: Path, target: Path) -> bool:
    """Whether the bytes are those that the name promises."""
    digest = hashlib.sha256()
    with source.open("rb") as original, target.open("wb") as copy:
        while chunk := original.read(_CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    shutil.copystat(source, target)
    return digest.hexdigest() == source.name


def _is_sound(path: Path) -> bool:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == path.name


def _file(folder: Path, digest: str) -> Path:
    return folder / digest[:2] / digest


def _contents(folder: Path, created_at: datetime, missing: set[str], damaged: set[str]) -> Contents:
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        jobs, images = (connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("jobs", "images"))
        [revision] = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    sizes = [path.stat().st_size for path in (folder / FILES).glob("??/*")]
    return Contents(
        created_at=created_at.isoformat(timespec="seconds"),
        revision=revision,
        jobs=jobs,
        images=images,
        files=len(sizes),
        bytes=sum(sizes),
        missing=tuple(sorted(missing)),
        damaged=tuple(sorted(damaged)),
    )
