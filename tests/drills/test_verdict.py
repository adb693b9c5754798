"""The drills' judge sees what is wrong. A drill that could not fail would say nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import aiohttp
import pytest

from bot.drills import payloads
from bot.drills.discord_server import VERSION, discord_server
from bot.drills.discord_state import DiscordState, Message
from bot.drills.verdict import judge
from generation.job import Job, JobKind, JobStatus
from generation.recipe import Recipe
from storage.books import Account

NOW = datetime(2026, 1, 1, tzinfo=UTC)
RECIPE = Recipe(prompt="a boat", model="pocket", width=128, height=128, seed=1, num_inference_steps=4, guidance_scale=5)


def delivered(discord: DiscordState) -> tuple[Account, Message]:
    """An order as it should end."""
    deed = discord.begin("imagine", member_id=1, channel_id=2)
    message = discord.add(2)
    deed.answer, deed.message_id = payloads.ANSWER, message.id
    message.content, message.files = "Done", ("limner-7.png",)
    job = Job(
        kind=JobKind.IMAGINE, recipes=(RECIPE,), request="a boat", style=None, user_id=1, guild_id=1, channel_id=2,
        cost=1, id=7, status=JobStatus.DONE, created_at=NOW, finished_at=NOW, delivered_at=NOW, message_id=message.id,
    )  # fmt: skip
    return Account(job=job, taken=1, pictures=1, request_key=str(deed.id)), message


def test_an_order_that_went_well() -> None:
    discord = DiscordState()
    account, _ = delivered(discord)
    verdict = judge([account], discord)
    assert verdict.good
    assert (verdict.orders, verdict.done) == (1, 1)


def test_an_order_that_was_promised_and_forgotten_is_lost() -> None:
    discord = DiscordState()
    delivered(discord)
    assert judge([], discord).lost == 1


async def test_an_answer_that_was_deferred_promises_once_it_says_queued() -> None:
    async with discord_server() as discord, aiohttp.ClientSession(discord.url + VERSION + "/") as bot:
        delivered(discord.state)
        deed = discord.state.begin("imagine", member_id=1, channel_id=2)
        async with bot.post(f"interactions/{deed.id}/{deed.token}/callback", json={"type": payloads.DEFERRED_ANSWER}):
            pass
        assert judge([], discord.state).lost == 1  # the delivered one alone, whose job is not told
        queued = {"content": "Queued", "components": [{"components": [{"custom_id": "limner:cancel:8"}]}]}
        async with bot.patch(f"webhooks/1/{deed.token}/messages/@original", json=queued) as answer:
            assert answer.ok
        # It is lost too when the message has been changed since.
        discord.state.messages[deed.message_id or 0].components = []
        assert judge([], discord.state).lost == 2


@pytest.mark.parametrize(
    "change",
    [{"status": JobStatus.RUNNING}, {"delivered_at": None}, {"message_id": None}, {"recipes": (RECIPE, RECIPE)}],
    ids=str,
)
def test_a_job_that_does_not_come_to_its_end_is_lost(change: dict[str, object]) -> None:
    discord = DiscordState()
    account, message = delivered(discord)
    if "message_id" in change:
        message.deleted = True
    changed = replace(account, job=replace(account.job, **change))  # type: ignore[arg-type]
    assert judge([changed], discord).lost == 1


def test_a_message_that_still_says_queued_is_lost() -> None:
    discord = DiscordState()
    account, message = delivered(discord)
    message.files, message.components = (), [{"components": [{"custom_id": "limner:cancel:7"}]}]
    assert judge([account], discord).lost == 1


@pytest.mark.parametrize("how", ["result", "queued"])
def test_a_second_message_of_a_job_is_seen(how: str) -> None:
    discord = DiscordState()
    account, _ = delivered(discord)
    second = discord.add(2)
    if how == "result":
        second.files = ("limner-7.webp",)
    else:
        second.components = [{"components": [{"custom_id": "limner:cancel:7"}]}]
    assert judge([account], discord).duplicated == 1


def test_a_picture_taken_out_of_a_grid_is_no_second_message() -> None:
    discord = DiscordState()
    account, _ = delivered(discord)
    discord.add(2).files = ("limner-7-1.png",)
    assert judge([account], discord).good


def test_two_jobs_of_one_order_are_seen() -> None:
    discord = DiscordState()
    account, _ = delivered(discord)
    message = discord.add(2)
    message.files = ("limner-8.png",)
    twin = replace(account, job=replace(account.job, id=8, message_id=message.id))
    assert judge([account, twin], discord).duplicated == 1


@pytest.mark.parametrize(("status", "taken"), [(JobStatus.DONE, 0), (JobStatus.DONE, 2), (JobStatus.FAILED, 1)])
def test_a_credit_that_is_not_where_it_belongs_is_seen(status: JobStatus, taken: int) -> None:
    discord = DiscordState()
    account, _ = delivered(discord)
    changed = replace(account, taken=taken, job=replace(account.job, status=status))
    assert judge([changed], discord).credit_drift == 1
