"""Orders of many people in the same moment, handed to the bot as a gateway does it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bot.bench_discord import TimedDiscord
from bot.client import ORDERS_AT_ONCE
from generation.job import Job
from tests.bot.world import PATIENCE, World


async def test_a_few_are_placed_side_by_side_and_all_are_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the event loop is free to answer the others."""
    orders, under_way, most = world.app.services.orders, 0, 0
    imagine, go_on = orders.imagine, asyncio.Event()

    async def counted(*args: Any, **options: Any) -> Job:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await go_on.wait()
        try:
            return await imagine(*args, **options)
        finally:
            under_way -= 1

    monkeypatch.setattr(orders, "imagine", counted)
    discord = TimedDiscord(world.env, world.app.client, members=2 * ORDERS_AT_ONCE)
    burst = discord.prepare(["a boat --n 1"] * (2 * ORDERS_AT_ONCE))
    await discord.send(burst)
    async with asyncio.timeout(PATIENCE):
        for order in burst:  # those that are being placed, and those that wait for their turn
            await order.acknowledgement.wait()
        go_on.set()
        for order in burst:
            await order.result.wait()
    assert all(order.deferred for order in burst)
    assert most == ORDERS_AT_ONCE
