"""Questions that people are asked, until they answer or too long has passed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from storage_samples import ANNA, BEN, HARBOUR, Clock

from storage.confirmations import Confirmation
from storage.storage import Storage

REQUESTS = ("a red boat --seed 7", "a blue boat — 🛶 --seed 11")


async def asked(storage: Storage, **changes: Any) -> Confirmation:
    question: dict[str, Any] = {
        "user_id": ANNA,
        "guild_id": HARBOUR,
        "channel_id": 5,
        "requests": REQUESTS,
        "cost": 8,
        "lifetime": timedelta(hours=1),
    }
    return await storage.confirmations.ask(**{**question, **changes})


async def test_a_question_is_kept_as_it_was_asked(storage: Storage, clock: Clock) -> None:
    question = await asked(storage)
    assert await storage.confirmations.get(question.id) == question
    assert (question.user_id, question.guild_id, question.channel_id) == (ANNA, HARBOUR, 5)
    assert (question.requests, question.picture, question.cost) == (REQUESTS, None, 8)
    assert question.expires_at == clock() + timedelta(hours=1)
    assert await storage.users.known_since(ANNA) == clock()
    picture = {"digest": "ab" * 32, "width": 640, "height": 480}
    direct = await asked(storage, user_id=BEN, guild_id=None, picture=picture)
    found = await storage.confirmations.get(direct.id)
    assert found is not None
    assert (found.guild_id, found.picture) == (None, picture)


async def test_a_question_is_answered_once(storage: Storage) -> None:
    question = await asked(storage)
    assert await storage.confirmations.answered(question.id)
    assert not await storage.confirmations.answered(question.id)
    assert await storage.confirmations.get(question.id) is None
    assert (await asked(storage)).id > question.id


async def test_a_question_expires(storage: Storage, clock: Clock) -> None:
    question = await asked(storage)
    clock.tick(minutes=59)
    assert await storage.confirmations.get(question.id) == question
    clock.tick(minutes=1)
    assert await storage.confirmations.get(question.id) is None
    await asked(storage)
    assert not await storage.confirmations.answered(question.id)  # the next question cleared it away
