"""What became of every order: by the books, and by what people see."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bot.drills.discord_state import DiscordState, Message
from bot.drills.people import unfinished
from generation.job import JobStatus
from storage.books import Account

# The file of a job's result is `limner-<job>`, that of a picture taken out of a grid `limner-<job>-<number>`.
_RESULT = re.compile(r"limner-(\d+)\.\w+")


@dataclass(slots=True, kw_only=True)
class Verdict:
    """`orders` that were taken; of these those `lost`, those `duplicated`, and credits that are not where they belong.

    Lost: promised to a person and not there, never ended, or ended without the person being shown how. Duplicated: two
    jobs for one order, or another message that shows a job beside its one. `failed` jobs ended with a refund. `acts` is
    what people did, by name, `figures` are what a drill measured besides, and `details` says what is wrong, for people.
    """

    orders: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    lost: int = 0
    duplicated: int = 0
    credit_drift: int = 0
    acts: Counter[str] = field(default_factory=Counter)
    figures: dict[str, float] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return self.lost == self.duplicated == self.credit_drift == 0

    def add(self, other: Verdict) -> None:
        """Count what another drill found together with this."""
        for name in ("orders", "done", "failed", "cancelled", "lost", "duplicated", "credit_drift"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for figure, value in other.figures.items():
            self.figures[figure] = self.figures.get(figure, 0) + value
        self.acts += other.acts
        self.details += other.details

    def lose(self, detail: str, count: int = 1) -> None:
        """Something that was promised is not there."""
        self.lost += count
        self.details.append(detail)


def judge(accounts: Sequence[Account], discord: DiscordState) -> Verdict:
    """Once everything has come to rest: each order against its job, each job against its ledger and its message."""
    verdict = Verdict(orders=len(accounts))
    _look_for_promises(verdict, accounts, discord)
    shown = _messages_by_job(discord)
    for account in accounts:
        job = account.job
        verdict.done += job.status is JobStatus.DONE
        verdict.failed += job.status is JobStatus.FAILED
        verdict.cancelled += job.status is JobStatus.CANCELLED
        if account.drift:
            verdict.credit_drift += abs(account.drift)
            verdict.details.append(f"job {job.id} ({job.status}) took {account.taken} of {job.price} credits")
        if lost := _how_it_is_lost(account, discord, shown.get(job.id, set())):
            verdict.lose(f"job {job.id} ({job.status}) {lost}")
        others = shown.get(job.id, set()) - {job.message_id}
        # Where its message is gone or was never sent, another takes its place.
        extra = len(others) - (discord.live(job.message_id) is None)
        if extra > 0:
            verdict.duplicated += extra
            verdict.details.append(f"job {job.id} is shown by messages {sorted(others)} beside {job.message_id}")
    return verdict


def _how_it_is_lost(account: Account, discord: DiscordState, shown: set[int]) -> str:
    """What is missing of a job, in words; '' if nothing is."""
    job, message = account.job, discord.live(account.job.message_id)
    if not job.status.terminal:
        return "has not ended"
    if job.status is JobStatus.DONE and account.pictures != len(job.recipes):
        return f"has {account.pictures} of {len(job.recipes)} pictures"
    if job.delivered_at is None:
        return "was not delivered"
    if message is None:
        return "" if shown else "has no message"
    if unfinished(message):
        return f"has a message that says {message.content!r}"
    if job.status is JobStatus.DONE and job.id not in _results(message):
        return f"has a message with the files {message.files}"
    return ""


def _look_for_promises(verdict: Verdict, accounts: Sequence[Account], discord: DiscordState) -> None:
    """Whoever reads that an order is queued has a job; one order has one job."""
    keys = [account.request_key for account in accounts]
    if doubled := len(keys) - len(set(keys)):
        verdict.duplicated += doubled
        verdict.details.append(f"{doubled} jobs share the order of another")
    of_messages = {account.job.message_id for account in accounts}
    for deed in discord.deeds.values():
        message = discord.live(deed.message_id)
        if message is None or message.ephemeral or message.id in of_messages or deed.name == "pick":
            continue
        if deed.promised and str(deed.id) not in keys:
            verdict.lose(f"{deed.name} was answered with {message.content!r}, and there is no such job")


def _messages_by_job(discord: DiscordState) -> dict[int, set[int]]:
    """Which public messages show a job: its pictures, or the button that ends it."""
    shown: dict[int, set[int]] = {}
    for message in discord.public():
        for job_id in (*_results(message), *message.cancellable):
            shown.setdefault(job_id, set()).add(message.id)
    return shown


def _results(message: Message) -> list[int]:
    return [int(match[1]) for name in message.files if (match := _RESULT.fullmatch(name))]
