"""Waiting until a bot has nothing left to do, and what became of everything then."""

from __future__ import annotations

import asyncio
import time

from bot.drills.discord_server import until
from bot.drills.discord_state import ANSWER_SECONDS
from bot.drills.house import House
from bot.drills.verdict import Verdict, judge

PATIENCE = 180.0  # seconds for what is left to do after a drill, on a busy machine


async def settled(house: House, *, seconds: float = PATIENCE) -> Verdict:
    """Wait until everyone is answered, every job has ended and is delivered, or for so many seconds; then judge."""
    end = time.monotonic() + seconds
    deeds = house.discord.state.deeds.values()
    await until(
        lambda: all(deed.answer is not None or deed.sent_at + ANSWER_SECONDS < time.monotonic() for deed in deeds),
        2 * ANSWER_SECONDS,
    )
    async with house.storage() as storage:
        while True:
            accounts = await storage.books.accounts()
            over = all(account.job.delivered_at is not None for account in accounts)
            if over or time.monotonic() > end or not house.running:
                return judge(accounts, house.discord.state)
            await asyncio.sleep(0.1)
