"""Errors of the database end in logs: whatever a statement was about, they do not quote it."""

from __future__ import annotations

import traceback

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from storage_samples import order, recipe

from storage.database import Database
from storage.storage import Storage

PROMPT, TOKEN = "a secret boat", "aW50ZXJhY3Rpb24"
TRIGGERS = {
    "sqlite": [
        "CREATE TRIGGER broken BEFORE UPDATE ON jobs BEGIN SELECT RAISE(ABORT, 'broken'); END",
        "CREATE TRIGGER broken_too BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'broken'); END",
    ],
    # A check that fails is told of with the whole row.
    "postgresql": ["ALTER TABLE jobs ADD CONSTRAINT broken CHECK (cost < 0) NOT VALID"],
}
MENDED = {
    "sqlite": ["DROP TRIGGER broken", "DROP TRIGGER broken_too"],
    "postgresql": ["ALTER TABLE jobs DROP CONSTRAINT broken"],
}


async def _run(database: str, statements: dict[str, list[str]]) -> None:
    async with Database.open(database) as opened, opened.writing() as session:
        for statement in statements[database.partition("+")[0]]:
            await session.execute(text(statement))


async def test_an_order_that_the_database_refuses_is_not_quoted(database: str, storage: Storage) -> None:
    await _run(database, TRIGGERS)
    new = order(request=PROMPT, recipes=(recipe(prompt=PROMPT),))
    try:
        with pytest.raises(DBAPIError, match="broken") as failed:
            await storage.jobs.order_many([new], allowance=None, max_queued=5, answer_token=TOKEN)
    finally:
        await _run(database, MENDED)
    said = "".join(traceback.format_exception(failed.value))
    assert "INSERT INTO jobs" in said
    assert PROMPT not in said
    assert TOKEN not in said


async def test_a_value_that_cannot_be_sent_is_not_quoted(storage: Storage) -> None:
    new = order(request=f"{PROMPT} \ud800")  # half a pair can be typed, and is no UTF-8
    with pytest.raises((SQLAlchemyError, UnicodeError)) as failed:
        await storage.jobs.order_many([new], allowance=None, max_queued=5, answer_token=TOKEN)
    said = "".join(traceback.format_exception(failed.value))
    assert PROMPT not in said
    assert TOKEN not in said
