"""A Discord that waits longer than the real one: whether three seconds are kept is measured, not tested."""

from __future__ import annotations

import pytest

from bot.drills import crowd, discord_server, settled, storage_trouble

# Less than `bot.delivery.FIRST_ANSWER_SECONDS`, after which the bot takes other ways: an answer that was accepted later
# would be a second one.
PATIENCE = 8.0


@pytest.fixture(autouse=True)
def patient_discord(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with something else may hold bot and server up."""
    for module in (crowd, discord_server, settled, storage_trouble):
        monkeypatch.setattr(module, "ANSWER_SECONDS", PATIENCE)
