"""What still needs a file: pictures, unfinished jobs, open questions, and ended jobs that may be ordered again.

Files are named by their content, so several things may need one, and none of them owns it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from datetime import datetime

from sqlalchemy import ColumnElement, Text, literal_column, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession

from generation.job import UNFINISHED
from storage.tables import ConfirmationRow, ImageRow, JobRow

# The recipes of a job as they are stored. They are not made into values here: there may be very many.
RECIPES_TEXT = type_coerce(JobRow.recipes, Text)
# What the recipes of a bare job are. Spelled as in the index and not sent as a value: only then is that used.
NO_RECIPES: ColumnElement[str] = literal_column("'[]'")
AT_ONCE = 500  # names or rows in one statement
# For statements whose rows are not in memory: SQLAlchemy need not look for them there.
BULK = {"synchronize_session": False}

# Where canonical JSON names a file. Quotes inside of prompts are escaped there, so no prompt looks like it.
_NAMED = re.compile(r'"digest":"([0-9a-f]{64})"')


def files_in(recipes: str) -> set[str]:
    """The digests of the files that the stored recipes of a job start from."""
    return set(_NAMED.findall(recipes))


async def files_of_jobs(session: AsyncSession, *conditions: ColumnElement[bool]) -> set[str]:
    """The digests of the files that the jobs which meet all conditions start from."""
    digests: set[str] = set()
    naming = select(RECIPES_TEXT).where(RECIPES_TEXT.contains('"digest"'), *conditions)
    async for recipes in await session.stream_scalars(naming.execution_options(yield_per=AT_ONCE)):
        digests |= files_in(recipes)
    return digests


async def files_at_work(session: AsyncSession, now: datetime) -> set[str]:
    """The digests of the files that unfinished jobs and open questions start from."""
    digests = await files_of_jobs(session, JobRow.status.in_(UNFINISHED))
    return digests | await files_of_questions(session, ConfirmationRow.expires_at > now)


async def files_of_questions(session: AsyncSession, *conditions: ColumnElement[bool]) -> set[str]:
    """The digests of the files that the questions which meet all conditions start from."""
    asked = select(ConfirmationRow.picture).where(ConfirmationRow.picture.is_not(None), *conditions)
    pictures = await session.scalars(asked)
    return {digest for picture in pictures for digest in files_in(json.dumps(picture, separators=(",", ":")))}


async def pictured(session: AsyncSession, digests: Collection[str]) -> set[str]:
    """Those of the files that a picture is kept in."""
    wanted, found = list(digests), set[str]()
    for start in range(0, len(wanted), AT_ONCE):
        named = select(ImageRow.digest).where(ImageRow.digest.in_(wanted[start : start + AT_ONCE]))
        found.update(await session.scalars(named))
    return found
