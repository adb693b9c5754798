"""What is logged, and what never is."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
import structlog

from bot.cli_settings import configured
from bot.config import PROGRAM_FOLDER
from bot.logs import configure_logs
from generation.environment import SECRETS

TOKEN = "MTIz.abc-def_ghi.jkl"


@pytest.fixture(autouse=True)
def logs_as_they_were() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


class Logs:
    """The lines that a process would have written."""

    def __init__(
        self, level: Literal["debug", "info", "warning"] = "info", format: Literal["console", "json"] = "json"
    ):
        self.stream = io.StringIO()
        configure_logs(level=level, format=format, secrets=[TOKEN], stream=self.stream)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


def test_an_event_is_one_json_object_with_its_fields() -> None:
    logs = Logs()
    structlog.get_logger("bot.app").info("job_done", job_id=5, seconds=1.5)
    (event,) = logs.events
    assert event.pop("timestamp").endswith("Z")
    assert event == {"event": "job_done", "level": "info", "logger": "bot.app", "job_id": 5, "seconds": 1.5}


def test_what_libraries_log_takes_the_same_way() -> None:
    logs = Logs()
    logging.getLogger("discord.gateway").warning("Shard ID %s has connected", 3)
    (event,) = logs.events
    assert (event["event"], event["level"], event["logger"]) == (
        "Shard ID 3 has connected",
        "warning",
        "discord.gateway",
    )


def test_warnings_are_logged() -> None:
    logs = Logs()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("this will go away", DeprecationWarning, stacklevel=1)
    assert "this will go away" in logs.text


def test_the_level_counts_for_all() -> None:
    logs = Logs("warning")
    structlog.get_logger("bot.app").info("quiet")
    logging.getLogger("discord").info("quiet too")
    structlog.get_logger("bot.app").warning("loud")
    assert [event["event"] for event in logs.events] == ["loud"]


def test_chatter_of_libraries_is_left_out_even_at_debug() -> None:
    logs = Logs("debug")
    logging.getLogger("aiosqlite").debug("executing")
    logging.getLogger("discord.http").debug("a request")
    assert [event["event"] for event in logs.events] == ["a request"]


@pytest.mark.parametrize("format", ["console", "json"])
def test_prompts_appear_at_debug_only(format: Literal["console", "json"]) -> None:
    logs = Logs("debug", format)
    structlog.get_logger("bot").info("job_ordered", job_id=5, prompt="a red boat", request="a red boat --n 2")
    structlog.get_logger("bot").error("job_failed", job_id=5, negative_prompt="a red boat")
    assert "job_ordered" in logs.text
    assert "red boat" not in logs.text
    structlog.get_logger("bot").debug("job_composed", prompt="a red boat")
    assert "a red boat" in logs.text


@pytest.mark.parametrize("format", ["console", "json"])
def test_the_token_never_appears(format: Literal["console", "json"]) -> None:
    logs = Logs("debug", format)
    log = structlog.get_logger("bot")
    log.info("start", token=TOKEN, nested={"headers": [f"Bot {TOKEN}"]})
    log.info(f"logging in with {TOKEN}")
    logging.getLogger("discord.http").debug("sent %s", {"Authorization": f"Bot {TOKEN}"})

    def log_in(token: str) -> None:
        raise RuntimeError(f"{token} was refused")

    try:
        log_in(TOKEN)
    except RuntimeError:
        log.exception("failed")
        logging.getLogger("discord").exception("failed")
    assert logs.text.count("RuntimeError: [redacted] was refused") == 2
    assert "[redacted]" in logs.text
    assert TOKEN not in logs.text


def test_what_is_secret_in_the_environment_is_in_no_line_of_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, f"hush-{name}")
    configured(PROGRAM_FOLDER / "config.toml")
    structlog.get_logger("bot.app").warning("refused", detail=[f"hush-{name}" for name in SECRETS])
    said = capsys.readouterr().err
    assert "refused" in said
    assert "hush" not in said


def test_tokens_of_interactions_do_not_appear_in_addresses() -> None:
    logs = Logs("debug")
    logging.getLogger("discord.webhook").debug(
        "PATCH https://discord.com/api/v10/webhooks/123/aW50ZXJhY3Rpb24/messages/@original"
    )
    assert "aW50ZXJhY3Rpb24" not in logs.text
    assert "/webhooks/123/[redacted]/messages/@original" in logs.text


@pytest.mark.parametrize("format", ["console", "json"])
@pytest.mark.parametrize("written", [repr, json.dumps, lambda payload: json.dumps(json.dumps(payload))])
def test_tokens_of_interactions_do_not_appear_in_payloads(
    format: Literal["console", "json"], written: Callable[[object], str]
) -> None:
    logs = Logs("debug", format)
    payload = {"t": "INTERACTION_CREATE", "d": {"id": "5", "token": "aW50ZXJhY3Rpb24", "type": 2}, "session_id": "f00d"}
    logging.getLogger("discord.gateway").debug("For Shard ID %s: WebSocket Event: %s", 0, written(payload))
    structlog.get_logger("bot").info("came", payload=payload)
    assert "INTERACTION_CREATE" in logs.text
    assert "aW50ZXJhY3Rpb24" not in logs.text
    assert "f00d" not in logs.text


def test_passwords_in_addresses_do_not_appear() -> None:
    logs = Logs()
    structlog.get_logger("bot").info("opened", database="postgresql+asyncpg://limner:swordfish@db.example/limner")
    logging.getLogger("sqlalchemy").error(
        "cannot connect to postgresql+asyncpg://limner:sword:f%40ish@db.example/limner"
    )
    assert "fish" not in logs.text
    assert logs.text.count("postgresql+asyncpg://limner:[redacted]@db.example/limner") == 2


def test_what_discord_signed_does_not_appear_in_links() -> None:
    logs = Logs()
    link = "https://cdn.discordapp.com/attachments/1/2/a.png?ex=65f1&is=65e0&hm=abcdef0123"
    structlog.get_logger("bot").info("fetched", url=link)
    assert "abcdef0123" not in logs.text
    assert "/attachments/1/2/a.png" in logs.text


def test_tracebacks_do_not_show_what_was_in_variables() -> None:
    logs = Logs(format="console")

    def draw(words: str) -> None:
        raise RuntimeError(len(words))

    try:
        draw("a red boat")
    except RuntimeError:
        structlog.get_logger("bot").exception("failed")
    assert "RuntimeError: 10" in logs.text
    assert "red boat" not in "".join(line for line in logs.text.splitlines() if "draw(" not in line)
