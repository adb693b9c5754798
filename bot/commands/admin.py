"""/admin: the bot's owner sees how it stands, lets it run empty before a stop, and has files read anew.

Discord shows the group to administrators of servers, and in direct messages to everyone: who owns the bot is asked
here, of Discord itself (`bot/owners.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import discord
import structlog
from discord import app_commands

from bot.answering import rejections_told, tell, tell_error
from bot.client import LimnerClient, Services
from bot.commands.texts import Texts
from bot.wording import MESSAGE_LENGTH, SEPARATOR, code
from generation.job import Priority
from generation.styles import StylesInvalid
from storage.database import REVISION

if TYPE_CHECKING:
    from bot.catalogue import Reloaded
    from bot.standing import Standing
    from generation.engine.protocol import WorkerInfo

NAMES_SHOWN = 12  # of what a reload brought, in each list: a line of three lists fits into a message
NAME_LENGTH = 40
REASONS_SHOWN = 5
REASON_LENGTH = 100
WORKERS_SHOWN = 8


def admin_group(services: Services, texts: Texts) -> app_commands.Group:
    """The whole group."""
    group = app_commands.Group(
        name="admin",
        description=texts.text("commands.admin"),
        default_permissions=discord.Permissions(administrator=True),
    )
    say, owners, dispatcher = services.messages.say, services.owners, services.dispatcher
    log = structlog.get_logger(__name__)

    async def status(interaction: discord.Interaction[LimnerClient]) -> None:
        async with rejections_told(interaction):
            await owners.admit(interaction)
            await tell(interaction, "\n".join(_standing_lines(services, services.look(), interaction.locale.value)))

    async def drain(interaction: discord.Interaction[LimnerClient]) -> None:
        async with rejections_told(interaction):
            await owners.admit(interaction)
            dispatcher.pause(None)
            log.info("drained", user_id=interaction.user.id, running=dispatcher.running())
            await tell(interaction, say("admin.drained", interaction.locale.value, running=dispatcher.running()))

    async def resume(interaction: discord.Interaction[LimnerClient]) -> None:
        async with rejections_told(interaction):
            await owners.admit(interaction)
            dispatcher.resume(None)
            log.info("resumed", user_id=interaction.user.id)
            await tell(interaction, say("admin.resumed", interaction.locale.value, waiting=dispatcher.depth()))

    async def reload(interaction: discord.Interaction[LimnerClient]) -> None:
        async with rejections_told(interaction):
            await owners.admit(interaction)
            try:
                reloaded = await services.catalogue_reader.reload(services.catalogue)
            except StylesInvalid as error:  # the owner's to put right, and no fault of the program
                await tell_error(interaction, error)
                return
            log.info("catalogue_reloaded", user_id=interaction.user.id)
            for text in packed(_reloaded_lines(services, reloaded, interaction.locale.value)):
                await tell(interaction, text)

    group.add_command(texts.command("admin_status", status))
    group.add_command(texts.command("admin_drain", drain))
    group.add_command(texts.command("admin_resume", resume))
    group.add_command(texts.command("admin_reload", reload))
    return group


def _standing_lines(services: Services, now: Standing, locale: str) -> list[str]:
    say = services.messages.say
    connection = "admin.connected" if now.connected else "admin.disconnected"
    lines = [
        say(
            connection,
            locale,
            servers=now.servers,
            started=discord.utils.format_dt(now.started_at, "R"),
            revision=REVISION,
        ),
        say(
            "admin.jobs",
            locale,
            fast=now.waiting[Priority.FAST],
            relaxed=now.waiting[Priority.RELAX],
            paused=now.paused,
            running=now.running,
            undelivered=now.undelivered,
        ),
        *([say("admin.draining", locale)] if now.draining else []),
        *(_worker_line(services, worker, locale) for worker in now.workers[:WORKERS_SHOWN]),
    ]
    if more := now.workers[WORKERS_SHOWN:]:
        lines.append(say("admin.more_workers", locale, count=len(more)))
    if now.free_bytes is not None:
        lines.append(say("admin.room", locale, gigabytes=f"{now.free_bytes / 1e9:.1f}"))
    return lines


def _worker_line(services: Services, worker: WorkerInfo, locale: str) -> str:
    say = services.messages.say
    details = [say(f"admin.worker_{worker.state}", locale), code(worker.device)]
    if worker.model is not None:
        details.append(say("admin.worker_model", locale, model=code(worker.model)))
    if worker.restarts:
        details.append(say("admin.worker_restarts", locale, count=worker.restarts))
    return f"{code(worker.name)}: {SEPARATOR.join(details)}"


def _reloaded_lines(services: Services, reloaded: Reloaded, locale: str) -> list[str]:
    say = services.messages.say
    lines = []
    for kind, difference in reloaded.differences.items():
        changes = {"added": difference.added, "removed": difference.removed, "changed": difference.changed}
        parts = [
            say(f"admin.{kind}", locale, count=len(getattr(services.catalogue, kind))),
            *(
                say(f"admin.{change}", locale, names=_names(services, names, locale))
                for change, names in changes.items()
                if names
            ),
        ]
        lines.append(SEPARATOR.join(parts))
    for error in reloaded.refused[:REASONS_SHOWN]:
        name, reason = str(error.fields["name"])[:NAME_LENGTH], str(error.fields["reason"])[:REASON_LENGTH]
        lines.append(say("admin.left_out", locale, name=code(name), reason=code(reason)))
    if more := reloaded.refused[REASONS_SHOWN:]:
        lines.append(say("admin.more_left_out", locale, count=len(more)))
    return lines


def packed(lines: Sequence[str]) -> list[str]:
    """The lines in as few messages as hold them, in order; each line is short enough for one."""
    texts = [""]
    for line in lines:
        if texts[-1] and len(texts[-1]) + 1 + len(line) > MESSAGE_LENGTH:
            texts.append("")
        texts[-1] += f"\n{line}" if texts[-1] else line
    return texts


def _names(services: Services, names: Sequence[str], locale: str) -> str:
    shown = ", ".join(code(name[:NAME_LENGTH]) for name in names[:NAMES_SHOWN])
    more = names[NAMES_SHOWN:]
    return shown + (services.messages.say("admin.more_names", locale, count=len(more)) if more else "")
