"""Logs: events with fields, on stderr, for people or for programs. What libraries log takes the same way.

Two promises are kept here, whoever writes the event: prompts appear at debug only, and secrets never.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable
from typing import Any, Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

# Fields that hold what people typed.
PROMPT_FIELDS = ("prompt", "negative_prompt", "request", "recipe", "recipes", "job", "image")
# Libraries whose chatter below warnings is of no use to the people who run a bot.
QUIET = ("aiosqlite", "alembic", "asyncio", "PIL", "sqlalchemy")
REDACTED = "[redacted]"
# What is cut out of every line, wherever it comes from; the first group stays.
_SECRETS = tuple(
    re.compile(secret, re.IGNORECASE)
    for secret in (
        # The tokens of interactions and webhooks, in the addresses that discord.py logs at debug …
        r"(/(?:webhooks|interactions)/[0-9]+/)[a-z0-9_.-]+",
        # … and in what it was sent, as Python or JSON writes it, or JSON within JSON.
        r"""(\\*['"](?:token|session_id|authorization)\\*['"]: ?\\*['"])[^'"\\]+""",
        # A database's password, in the errors of drivers.
        r"(://[^\s:/@]+:)[^\s/@]+(?=@)",
        # What makes a link to a file on Discord's CDN work for whoever has it.
        r"([?&]hm=)[0-9a-f]+",
    )
)


def configure_logs(
    *,
    level: Literal["debug", "info", "warning", "error"],
    format: Literal["console", "json"],
    secrets: Iterable[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Send all logs of this process to `stream` (stderr). `secrets` are replaced wherever they would appear."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_prompts,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        RedactingFormatter(
            secrets,
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderer(format, colors=stream.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))
    logging.captureWarnings(capture=True)


def hide_prompts(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Take what people typed out of every event above debug."""
    if event.get("level") != "debug":
        for field in PROMPT_FIELDS:
            event.pop(field, None)
    return event


class RedactingFormatter(structlog.stdlib.ProcessorFormatter):
    """Replaces secrets in the finished line, tracebacks and all."""

    def __init__(self, secrets: Iterable[str], **options: Any) -> None:
        super().__init__(**options)
        known = [re.escape(secret) for secret in secrets if secret]
        self._secrets = re.compile("|".join(known)) if known else None

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if self._secrets is not None:
            line = self._secrets.sub(REDACTED, line)
        for secret in _SECRETS:
            line = secret.sub(rf"\g<1>{REDACTED}", line)
        return line


def _renderer(format: Literal["console", "json"], *, colors: bool) -> list[Processor]:
    if format == "json":
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ]
    # Plain tracebacks: rich's show local variables, and those hold prompts.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
