"""Waiting until a bot has nothing left to do, and what became of everything then."""

from __future__ import annotations

import asyncio
import time

from bot.drills.discord_server import until
from bot.drills.discord_state import ANSWER_SECONDS, DiscordState
from bot.drills.house import House
from bot.drills.verdict import Verdict, judge

PATIENCE = 180.0  # seconds for what is left to do after a drill, on a busy machine

ORDER_SECONDS = 15.0  # for the orders that are being taken; those of a bot that was killed never will be


async def settled(house: House, *, orders: int = 1, seconds: float = PATIENCE) -> Verdict:
    """Wait until everyone is answered, so many orders at least were taken, and all of them have come to a good end.

    What is not so after so many seconds never will be: then it is judged as it is.
    """
    end = time.monotonic() + seconds
    over_since: float | None = None
    await until(lambda: _all_answered(house.discord.state), ORDER_SECONDS)
    async with house.storage() as storage:
        while True:
            accounts = await storage.books.accounts()
            over = len(accounts) >= orders and all(account.job.delivered_at is not None for account in accounts)
            now = time.monotonic()
            over_since = (over_since or now) if over else None
            # What is ordered, or shown, in this moment is not lost; what is not there a while later is.
            final = now > end or not house.running or (over_since is not None and now > over_since + ORDER_SECONDS)
            if over or final:
                verdict = judge(accounts, house.discord.state)
                if verdict.good or final:
                    return verdict
            await asyncio.sleep(0.1)


def _all_answered(discord: DiscordState) -> bool:
    """Whether everyone was told more than that an answer is on its way, or will never be."""
    now = time.monotonic()
    if any(deed.answer is None and now - deed.sent_at < ANSWER_SECONDS for deed in discord.deeds.values()):
        return False
    return not any(message.thinking for message in discord.messages.values())
