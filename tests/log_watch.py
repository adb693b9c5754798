"""All that is logged while tests run, by whichever process, searched for secrets and for what people typed.

Each test logs as the product does, at debug, into one file for each process of pytest; what programs that a test starts
write to stderr is captured by pytest and comes here with the test's report. Bots of drills write to files of their own,
which are put in that file when the test is over. At the end all of it is searched, and something found fails the run.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import pytest
import structlog

from bot.drills.house import LOGS
from bot.logs import PROMPT_FIELDS, configure_logs

FOLDER = "limner_logs"  # where the files are, as workers are told
SHOWN = 5  # of what was found; the files have the rest
# Secrets of the tests, and the shapes of real ones.
SECRETS = re.compile(
    r"a-good-token|a-token-for-drills|simcord\.fake\.token|interaction-token|swordfish|hunter2"
    r"|[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}"  # a bot's token
    r"|Bot [\w-]+\.[\w-]+\.[\w-]+"  # as it stands in a header
    r"|/(?:webhooks|interactions)/[0-9]+/(?!\[redacted\])[\w.-]{6,}"  # an interaction's, in an address
    r"""|['"]token\\*['"]: ?\\*['"](?!\[redacted\])[\w.-]{6,}"""  # and in a payload
    r"|://[^\s:/@]+:(?!\[redacted\])[^\s/@]+@"  # a database's password
    r"|[?&]hm=[0-9a-f]{8,}"  # the signature of a link
)
# What people type in tests; no event of ours, and no sentence about it, has such a word in it.
TYPED = re.compile(r"\b(?:red|blue|small) boats?\b|☢", re.IGNORECASE)


class Printed(logging.Handler):
    """Puts events on stdout, for tests that look there, and for whoever reads why a test failed."""

    def emit(self, record: logging.LogRecord) -> None:
        if isinstance(record.msg, dict) and record.levelno > logging.DEBUG:
            error = "".join(_traceback(record))
            print(f"[{record.levelname.lower()}] {record.msg!r}{error}")  # noqa: T201


def _traceback(record: logging.LogRecord) -> Iterator[str]:
    if record.exc_info:
        yield "\n" + logging.Formatter().formatException(record.exc_info)


@contextmanager
def watched(stream: TextIO) -> Iterator[None]:
    """Log as the product does, into this file."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logs(level="debug", format="json", stream=stream)
    logging.captureWarnings(capture=False)  # pytest makes them errors
    root.handlers += [Printed(), *handlers]
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def leaks(line: str) -> Iterator[str]:
    """What a line should not have."""
    yield from (match[0] for match in SECRETS.finditer(line))
    try:
        event = json.loads(line)
    except ValueError:
        return
    if isinstance(event, dict) and event.get("level") not in (None, "debug"):
        yield from (f"{field}=…" for field in PROMPT_FIELDS if field in event)
        yield from (match[0] for match in TYPED.finditer(line))


class LogWatch:
    """The part of pytest that collects and searches. `folder` is one for all processes of a run."""

    def __init__(self, config: pytest.Config) -> None:
        worker = getattr(config, "workerinput", None)
        self._searches = worker is None  # and not a worker of another process
        self._folder = Path(tempfile.mkdtemp(prefix="limner-logs-") if worker is None else worker[FOLDER])
        name = worker["workerid"] if worker else "main"
        self._stream = (self._folder / f"{name}.log").open("w", encoding="utf-8")
        self._drills = self._folder / f"{name}-drills"
        self._drills.mkdir()
        os.environ[LOGS] = str(self._drills)  # for what this process starts, too
        self._found: dict[str, None] = {}  # once each, in order: a test has several reports, each with all before it

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: object) -> None:
        """Tell a worker of pytest-xdist where to write."""
        node.workerinput[FOLDER] = str(self._folder)  # type: ignore[attr-defined]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Name the test in the file, and let it log there."""
        self._stream.write(f"# {item.nodeid}\n")
        with watched(self._stream):
            ended = yield
        self._collect_drills()
        return ended

    def _collect_drills(self) -> None:
        """What bots of drills have logged, into the file of all logs."""
        for path in sorted(self._drills.iterdir()):
            self._stream.write(path.read_text(encoding="utf-8", errors="replace") + "\n")
            path.unlink()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What the test and the programs that it started have printed; their logs stand in the files."""
        if self._searches:
            for name, text in report.sections:
                if "stderr" in name or "stdout" in name:
                    self._note(report.nodeid, text.splitlines())

    def _note(self, test: str, lines: Iterable[str]) -> None:
        self._found |= {f"{test}: {leak}": None for line in lines for leak in leaks(line)}

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Search, once all workers are done."""
        self._stream.close()
        if not self._searches:
            return
        for path in sorted(self._folder.glob("*.log")):
            test = path.stem
            with path.open(encoding="utf-8") as lines:
                for line in lines:
                    if line.startswith("# "):
                        test = line[2:].strip()
                    else:
                        self._note(test, [line])
        if self._found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what was found, and where to look."""
        if self._found:
            terminalreporter.section("secrets in the logs", red=True)
            for one in list(self._found)[:SHOWN]:
                terminalreporter.write_line(one)
            terminalreporter.write_line(f"{len(self._found)} in all; see {self._folder}")
        elif self._searches:
            shutil.rmtree(self._folder)
