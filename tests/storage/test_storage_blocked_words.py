"""Blocked words of servers, and the log of who blocked them."""

from __future__ import annotations

from storage_samples import ANNA, HARBOUR, ORCHARD

from storage.storage import Storage


async def test_words_are_a_servers_own(storage: Storage) -> None:
    words = storage.blocked_words
    assert await words.add(HARBOUR, "noodles", by=ANNA, at_most=5)
    assert await words.add(HARBOUR, "Bread", by=ANNA, at_most=5)
    assert (await words.of(HARBOUR)).words == ["Bread", "noodles"]
    assert (await words.of(ORCHARD)).words == []
    assert not await words.remove(ORCHARD, ["noodles"], by=ANNA)
    assert await words.remove(HARBOUR, ["noodles"], by=ANNA)
    assert (await words.of(HARBOUR)).words == ["Bread"]


async def test_there_is_an_end_to_the_list(storage: Storage) -> None:
    assert await storage.blocked_words.add(HARBOUR, "one", by=ANNA, at_most=1)
    assert not await storage.blocked_words.add(HARBOUR, "two", by=ANNA, at_most=1)
    assert (await storage.blocked_words.of(HARBOUR)).words == ["one"]


async def test_the_default_list_counts_unless_a_server_does_without(storage: Storage) -> None:
    assert (await storage.blocked_words.of(HARBOUR)).defaults
    await storage.blocked_words.use_defaults(HARBOUR, False, by=ANNA)
    assert not (await storage.blocked_words.of(HARBOUR)).defaults
    assert (await storage.blocked_words.of(ORCHARD)).defaults
    await storage.blocked_words.use_defaults(HARBOUR, True, by=ANNA)
    assert (await storage.blocked_words.of(HARBOUR)).defaults


async def test_every_change_is_in_the_log(storage: Storage) -> None:
    for _ in range(2):  # what changes nothing is not in the log
        assert await storage.blocked_words.add(HARBOUR, "noodles", by=ANNA, at_most=1)
    await storage.blocked_words.use_defaults(HARBOUR, True, by=ANNA)
    await storage.blocked_words.remove(HARBOUR, ["noodles"], by=ANNA)
    await storage.blocked_words.remove(HARBOUR, ["noodles"], by=ANNA)
    await storage.blocked_words.use_defaults(HARBOUR, False, by=ANNA)
    log = await storage.moderator_log.latest(HARBOUR, 10)
    assert [(entry.action, entry.moderator_id, dict(entry.details)) for entry in reversed(log)] == [
        ("words.add", ANNA, {"word": "noodles"}),
        ("words.remove", ANNA, {"word": "noodles"}),
        ("words.default", ANNA, {"used": False}),
    ]
