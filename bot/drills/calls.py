"""Every call to Discord that the bot makes, made to fail in every way, while somebody waits for what it is for.

Each case is an order (or a look, or a start) of its own, in a channel of its own; all of them go on side by side. What
is asked is the same for all: the order ends, its person is shown how, once, and the bot goes on.

Figure of each: `calls_failed`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bot.drills.discord_server import CALLS, until
from bot.drills.discord_state import Deed, DiscordState, Failure, Fault, Message
from bot.drills.house import START_SECONDS, House, open_house
from bot.drills.people import People, keep_busy
from bot.drills.settled import settled
from bot.drills.verdict import Verdict

FAILURES: tuple[Failure, ...] = (500, 429, 403, 404, 413, "unheard", "dropped")
PASSING: tuple[Failure, ...] = (500, 429, "unheard", "dropped")
# How often a failure which passes comes in a row. With 500 and 429 discord.py tries five times by itself, in up to
# half a minute: only what fails more often comes to us.
TIMES: Mapping[Failure, int] = {500: 6, 429: 6, 413: 2, "unheard": 2, "dropped": 2}
STORM_SHARE = 0.1  # of all calls, in a storm


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How it comes to a call while an order is on its way: `closed` are the ways before it, which must be closed."""

    call: str
    closed: tuple[tuple[str, Failure], ...] = ()
    command: str = "imagine"


# From the first answer to a direct message: each way is taken where those before it lead nowhere.
WAYS = (
    Way(call="answer"),
    Way(call="edit_answer"),
    Way(call="edit", closed=(("edit_answer", 404),)),
    Way(call="send", closed=(("edit_answer", 404), ("edit", 404))),
    Way(call="open_direct", closed=(("edit_answer", 404), ("edit", 403), ("send", 403))),
    Way(call="follow_up", command="info"),
)
# What is called before anybody can order anything.
AT_THE_START = ("who_am_i", "application", "commands", "sync_commands", "gateway")


async def on_the_way(folder: Path, *, failures: Sequence[Failure] = FAILURES) -> Verdict:
    """Each call of an order with each failure, side by side."""
    cases = [(way, failure) for way in WAYS for failure in failures]
    async with open_house(folder) as house:
        await house.started()
        people = People(house.discord, random.Random(0), count=len(cases), channels=len(cases))
        of_cases = await asyncio.gather(*(_begun(house, people, number, *case) for number, case in enumerate(cases)))
        house.let_go()
        await asyncio.gather(*(_opened(way, failure, of_cases[number]) for number, (way, failure) in enumerate(cases)))
        verdict = await settled(house, orders=sum(way.command == "imagine" for way, _ in cases))
        faults = house.discord.state.faults
        await until(lambda: all(fault.hits for fault in faults), START_SECONDS)
        for fault in faults:
            if not fault.hits:
                verdict.lose(f"{fault.call} {fault.failure}: it never came to that call")
        return _completed(verdict, house)


async def _begun(house: House, people: People, number: int, way: Way, failure: Failure) -> list[Fault]:
    """Order, or look, with all that shall fail in place. What is ordered does not end before it is let go."""
    deed = people.about_to(way.command, member=number, channel=number)
    faults = [Fault(call=call, failure=closed, part=_part(call, deed)) for call, closed in way.closed]
    faults.append(Fault(call=way.call, failure=failure, part=_part(way.call, deed), times=TIMES.get(failure)))
    if not way.closed:
        house.discord.state.faults += faults
    if way.command == "imagine":
        await people.type(deed, prompt="a held boat --n 1 --steps 10")
    else:
        await people.type(deed)
    if way.closed:  # not before: the bot can change its message in the channel only once it knows which it is
        await house.must(lambda: deed.promised, START_SECONDS)
        house.discord.state.faults += faults
        message = house.discord.state.live(deed.message_id)
        if message is not None and (way.call != "edit" or failure not in PASSING):
            message.deleted = True  # a second one is right only where people do not see the first
    return faults


async def _opened(way: Way, failure: Failure, faults: Sequence[Fault]) -> None:
    """Where there is no way left, it stays undelivered until one opens."""
    if way.call == "open_direct" and failure not in PASSING:
        await until(lambda: faults[-1].hits, START_SECONDS)
        for fault in faults:
            fault.times = fault.hits


def _part(call: str, deed: Deed) -> str:
    """What stands in the paths of this case's calls and of no other's."""
    path = CALLS[call][1].pattern
    if path.startswith("/users"):
        return ""
    return f"/{deed.channel_id}/" if path.startswith("/channels") else f"/{deed.token}"


async def of_a_deletion(folder: Path, *, failures: Sequence[Failure] = FAILURES) -> Verdict:
    """🗑 and yes to it, while the message with the picture cannot be removed: it is deleted, and its person is told."""
    async with open_house(folder) as house:
        await house.started()
        people = People(house.discord, random.Random(0), count=len(failures), channels=len(failures))
        told = await asyncio.gather(*(_deleted(house, people, *case) for case in enumerate(failures)))
        verdict = Verdict(orders=len(failures))
        for failure, well in zip(failures, told, strict=True):
            if not well:
                verdict.lose(f"delete {failure}: the person was not told how it ended")
        async with house.storage() as storage:
            accounts = await storage.books.accounts()
        verdict.done = len(accounts)
        if left := sum(account.pictures for account in accounts):
            verdict.lose(f"{left} pictures were not deleted", left)
        return _completed(verdict, house)


async def _deleted(house: House, people: People, number: int, failure: Failure) -> bool:
    """Order a picture and delete it; whether the question was answered in the end."""
    state = house.discord.state
    deed = people.about_to("imagine", member=number, channel=number)
    await people.type(deed, prompt="a boat --n 1 --steps 2")
    shown = partial(_with_button, state, deed, "limner:delete_")
    await house.must(shown, START_SECONDS)
    message, bin_button = shown() or (None, "")
    assert message is not None
    state.faults.append(Fault(call="delete", failure=failure, part=f"/messages/{message.id}", times=TIMES.get(failure)))
    asked = await people.press(message, bin_button, member=deed.member_id)
    assert asked is not None
    question = partial(_with_button, state, asked, "limner:delete_")
    await house.must(question, START_SECONDS)
    asking, yes = question() or (None, "")
    assert asking is not None
    await people.press(asking, yes, member=deed.member_id)
    return await until(lambda: not asking.custom_ids(), START_SECONDS)


def _with_button(state: DiscordState, deed: Deed, kind: str) -> tuple[Message, str] | None:
    """The message that answers to the deed and its button of that kind, once it has it."""
    message = state.live(deed.message_id)
    buttons = [] if message is None else [button for button in message.custom_ids() if button.startswith(kind)]
    return (message, buttons[0]) if message is not None and buttons else None


async def storm(folder: Path, *, seconds: float, share: float = STORM_SHARE) -> Verdict:
    """Any call may fail in a way that passes while people do everything that they do; then the weather is fine again.

    Not in the others: who is told that a message is gone while it is there can only send a second one.
    """
    dice = random.Random(0)
    async with open_house(folder) as house:
        await house.started()
        people, state = People(house.discord, dice, count=20), house.discord.state
        state.weather = lambda: dice.choice(PASSING) if dice.random() < share else None
        busy = asyncio.create_task(keep_busy(people, per_second=8, most_open=30))
        await asyncio.sleep(seconds)
        busy.cancel()
        await asyncio.gather(busy, return_exceptions=True)
        await until(lambda: state.failed, START_SECONDS)  # it may be slow to hear of what was done
        state.weather = lambda: None
        verdict = await settled(house)
        return _completed(verdict, house)


async def at_the_start(
    folder: Path, *, which: Sequence[str] = AT_THE_START, failures: Sequence[Failure] = FAILURES
) -> Verdict:
    """Each call of a start with each failure: the bot comes up, or ends with a sentence, and comes up the next time."""
    verdict = Verdict()
    async with open_house(folder) as house:
        await house.started()  # from now on it has told its commands, and asks for them
        await house.kill()
        for call in which:
            for failure in failures:
                house.discord.state.commands = []  # so that they are told again
                house.discord.state.faults.append(fault := Fault(call=call, failure=failure, times=1))
                before = house.discord.sessions
                house.start()
                if not await until(partial(_came_up_or_ended, house, before), START_SECONDS):
                    verdict.lose(f"{call} {failure}: it neither came up nor ended")
                await house.kill()
                fault.times = 0
        said = await asyncio.to_thread(house.said)
        if "Traceback" in said:
            verdict.lose(said)
        await house.started()
        return _completed(verdict, house)


def _came_up_or_ended(house: House, sessions: int) -> bool:
    return house.discord.sessions > sessions or not house.running


def _completed(verdict: Verdict, house: House) -> Verdict:
    """With how many calls failed, and whether the bot goes on."""
    verdict.figures = {"calls_failed": house.discord.state.failed}
    if not house.running:
        verdict.lose("the bot has ended")
    return verdict
