"""Members who order, press buttons and change their minds, at random but repeatably."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from bot.drills import payloads
from bot.drills.discord_server import DiscordServer, until
from bot.drills.discord_state import ANSWER_SECONDS, Deed, Message
from generation.job import JobKind

FIRST_MEMBER, FIRST_CHANNEL = 2**49, 2**48
BUTTON, STRING = 2, 3  # types of components and of options
SUBJECTS = ("a red boat", "a blue house", "a yellow cat", "a green tree")
# What is pressed under results: whatever orders something, and U, which is free.
DERIVING = (*(kind.value for kind in JobKind), "again", "pick")
RECENT = 30  # of messages, whose buttons people press


class People:
    """`count` members in some channels. `dice` decides what they do next."""

    def __init__(self, discord: DiscordServer, dice: random.Random, *, count: int, channels: int = 3) -> None:
        self.done: Counter[str] = Counter()  # what they did, by name
        self.discord = discord
        self._dice = dice
        self._members = [FIRST_MEMBER + number for number in range(count)]
        self._channels = [FIRST_CHANNEL + number for number in range(channels)]
        self._orders = 0

    async def act(self) -> Deed | None:
        """Something that a member might do now. None: there was nothing to do, or no bot to hear of it."""
        act = self._dice.choices(
            (self.order_something, self.press_something, self.cancel_something, self.look, self.mistype, self.confirm),
            weights=(50, 22, 8, 10, 4, 6),
        )[0]
        return await act()

    async def order_something(self) -> Deed | None:
        """/imagine, of every size and speed."""
        self._orders += 1
        dice, words = self._dice, [self._dice.choice(SUBJECTS), f"n{self._orders}"]
        if dice.random() < 0.25:
            words.append("slow")
        words.append(f"--n {dice.choice((1, 1, 2, 4))} --steps {dice.choice((2, 5, 10))}")
        if dice.random() < 0.2:
            words.append("--relax")
        return await self.order(" ".join(words))

    async def order(self, prompt: str, *, member: int | None = None, channel: int | None = None) -> Deed | None:
        """/imagine with exactly that prompt, by the member and in the channel of that number, or any."""
        return await self.command("imagine", member=member, channel=channel, prompt=prompt)

    async def look(self) -> Deed | None:
        """What shows something and orders nothing."""
        return await self.command(self._dice.choice(("info", "queue")))

    async def mistype(self) -> Deed | None:
        """An order that cannot be taken."""
        return await self.command("imagine", prompt="a boat --ar 9:1")

    async def confirm(self, *, patience: float = ANSWER_SECONDS) -> Deed | None:
        """An order of several jobs, and the button that says yes to it, if it is there in so many seconds."""
        self._orders += 1
        asked = await self.command("imagine", prompt=f"{{red, blue}} boat n{self._orders} --n 1 --steps 2")
        if asked is None or not await until(lambda: self._question(asked), patience):
            return asked
        question = self._question(asked)
        assert question is not None
        yes = next(button for button in question.custom_ids() if button.startswith("limner:draw_all:"))
        return await self.press(question, yes, member=asked.member_id)

    async def press_something(self) -> Deed | None:
        """A button under a result."""
        results = [message for message in self._recent() if message.files]
        buttons = [
            (message, button)
            for message in results
            for button in message.custom_ids()
            if button.split(":")[1] in DERIVING
        ]
        if not buttons:
            return None
        message, button = self._dice.choice(buttons)
        return await self.press(message, button, member=self._dice.choice(self._members))

    async def cancel_something(self) -> Deed | None:
        """✖ under a job that is not over, by its owner."""
        waiting = [
            (message, button)
            for message in self._recent()
            for button in message.custom_ids()
            if button.startswith("limner:cancel:")
        ]
        if not waiting:
            return None
        message, button = self._dice.choice(waiting)
        owner = int(message.content.split("<@")[1].split(">")[0])
        return await self.press(message, button, member=owner)

    async def press(self, message: Message, custom_id: str, *, member: int) -> Deed | None:
        """Press that button."""
        deed = self.discord.state.begin(custom_id.split(":")[1], member_id=member, channel_id=message.channel_id)
        data = {"custom_id": custom_id, "component_type": BUTTON}
        return await self._told(deed, payloads.COMPONENT, data, on=message)

    async def command(
        self, name: str, *, member: int | None = None, channel: int | None = None, **options: str
    ) -> Deed | None:
        """Type a command whose options are all text."""
        return await self.type(self.about_to(name, member=member, channel=channel), **options)

    def about_to(self, name: str, *, member: int | None = None, channel: int | None = None) -> Deed:
        """What will be done by `type`: its token is known before the bot hears of it."""
        return self.discord.state.begin(
            name,
            member_id=self._dice.choice(self._members) if member is None else self._members[member],
            channel_id=self._dice.choice(self._channels) if channel is None else self._channels[channel],
        )

    async def type(self, deed: Deed, **options: str) -> Deed | None:
        """Type that command, now."""
        deed.sent_at = time.monotonic()
        given = [{"name": option, "type": STRING, "value": value} for option, value in options.items()]
        data = {"id": str(deed.id), "name": deed.name, "type": 1, "options": given}
        return await self._told(deed, payloads.COMMAND, data)

    async def _told(self, deed: Deed, kind: int, data: dict[str, Any], *, on: Message | None = None) -> Deed | None:
        if not await self.discord.tell(deed, kind, data, on=on):
            del self.discord.state.deeds[deed.token]
            return None
        self.done[deed.name] += 1
        return deed

    def _question(self, asked: Deed) -> Message | None:
        message = self.discord.state.live(asked.message_id)
        return message if message is not None and message.custom_ids() else None

    def _recent(self) -> Sequence[Message]:
        return list(self.discord.state.public())[-RECENT:]


async def keep_busy(people: People, *, per_second: float, most_open: int) -> None:
    """Let people act without end, at that pace, as long as no more than so many jobs are unfinished on Discord."""
    discord = people.discord
    while True:
        if discord.connected and sum(1 for message in discord.state.public() if unfinished(message)) < most_open:
            await people.act()
        await asyncio.sleep(1 / per_second)


def unfinished(message: Message) -> bool:
    """Whether the message still tells of a job on its way."""
    return message.thinking or any(button.startswith("limner:cancel:") for button in message.custom_ids())
