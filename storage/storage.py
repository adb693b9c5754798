"""Everything that is remembered, in one place: `open_storage` builds it, the rest of the program is given it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from storage.bans import Bans
from storage.blocked_words import BlockedWords
from storage.books import Books
from storage.confirmations import Confirmations
from storage.credits import Credits
from storage.database import Clock, Database, utc_now
from storage.deletion import Deletion
from storage.favourites import Favourites
from storage.files import Files, open_files
from storage.guild_rules import Rulebook
from storage.images import Images
from storage.jobs import Jobs
from storage.moderator_log import ModeratorLog
from storage.personal_data import PersonalData
from storage.retention import Retention
from storage.settings import Settings
from storage.showings import Showings
from storage.totals import Totals
from storage.users import Users
from storage.wakeups import Wakeups


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """What is remembered, by kind. Safe to use from any number of tasks on the event loop that opened it."""

    users: Users
    jobs: Jobs
    images: Images
    showings: Showings
    favourites: Favourites
    deletion: Deletion
    totals: Totals
    credits: Credits
    confirmations: Confirmations
    blocked_words: BlockedWords
    settings: Settings
    moderator_log: ModeratorLog
    bans: Bans
    rulebook: Rulebook
    personal_data: PersonalData
    retention: Retention
    books: Books
    files: Files
    wakeups: Wakeups


@asynccontextmanager
async def open_storage(*, database: str, files: Path | str, clock: Clock = utc_now) -> AsyncIterator[Storage]:
    """Storage on a migrated database (a SQLAlchemy URL: see `storage.database.DRIVERS`) and a folder or bucket for
    files (see `storage.files.open_files`).

    `clock` gives aware times; rows are stamped by it and UTC days follow it. Raises `StorageUnavailable`,
    `FilesUnavailable`, or `StorageOutdated` when `storage.migrations.migrate` must run first.
    """
    async with Database.open(database, clock=clock) as opened:
        kept = await open_files(files)
        deletion = Deletion(opened, kept)
        yield Storage(
            users=Users(opened),
            jobs=Jobs(opened, kept, deletion),
            images=Images(opened, kept),
            showings=Showings(opened),
            favourites=Favourites(opened),
            deletion=deletion,
            totals=Totals(opened),
            credits=Credits(opened),
            confirmations=Confirmations(opened),
            blocked_words=BlockedWords(opened),
            settings=Settings(opened),
            moderator_log=ModeratorLog(opened),
            bans=Bans(opened),
            rulebook=Rulebook(opened),
            personal_data=PersonalData(opened, kept),
            retention=Retention(opened, kept, deletion),
            books=Books(opened),
            files=kept,
            wakeups=Wakeups(database, origin=opened.origin, settings_changed=opened.kept.forget),
        )
