"""The demo as a person meets it: a real process, looked at in headless Chromium."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil
from PIL import Image
from playwright.sync_api import Error, Locator, Page, expect, sync_playwright

REPOSITORY = Path(__file__).resolve().parent.parent
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# As in a container: no sandbox, no graphics card, and nothing that asks the network.
BROWSER_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/#\S+")
PATIENCE = 240_000  # milliseconds that anything may take on a busy machine, above all the first import of torch
STOP_SECONDS = 60
ENTER_TAKES = 5_000  # milliseconds until a message that was entered is gone from the line
BYTES_OF_IMAGE = "async image => Array.from(new Uint8Array(await (await fetch(image.src)).arrayBuffer()))"


def browser() -> str | None:
    """The system's Chromium: playwright's own is a download."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """A running demo."""

    address: str
    process: subprocess.Popen[str]
    log: IO[str]

    def interrupt(self) -> None:
        """Ctrl-C: a terminal sends it to the bot and its workers alike."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self) -> int:
        """Wait for the end: the exit status."""
        return self.process.wait(STOP_SECONDS)

    def logged(self) -> str:
        """What it has written to its log."""
        self.log.seek(0)
        return self.log.read()


@contextmanager
def running_demo() -> Iterator[Demo]:
    """`python -m bot demo` with the settings as shipped, but on one thread. Whoever opens it ends it; fails if that
    leaves a process.

    Beside other tests, torch's threads wait for each other so long that a picture of seconds takes minutes.
    """
    command = [sys.executable, "-m", "bot", "demo", "--no-open", "--port", "0"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=os.environ | {"LIMNER_GENERATION__THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            address = next(filter(None, map(ADDRESS.search, process.stdout)), None)
            assert address is not None, "it ended without an address"
            yield Demo(address=address.group(), process=process, log=log)
            until = time.monotonic() + STOP_SECONDS  # what ends with the program may do so just after it
            while (left := _of_session(process.pid)) and time.monotonic() < until:
                time.sleep(0.1)
            assert not left
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read())
            raise
        finally:
            for other in _of_session(process.pid):
                with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended
                    other.kill()
            process.communicate()


def _of_session(session: int) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _is_of_session(process, session)]


def _is_of_session(process: psutil.Process, session: int) -> bool:
    try:
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, psutil.Error):  # it has just ended
        return False


@contextmanager
def visit(address: str) -> Iterator[Visitor]:
    """The page in a window of 1280×900."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser(), args=list(BROWSER_FLAGS), timeout=PATIENCE)
        try:
            page = chromium.new_page(viewport={"width": 1280, "height": 900})
            page.set_default_timeout(PATIENCE)
            page.goto(address)
            yield Visitor(page)
        except BaseException:
            with contextlib.suppress(Error):
                sys.stderr.write(f"The page says:\n{page.locator('body').inner_text(timeout=ENTER_TAKES)}\n")
            raise
        finally:
            chromium.close()


class Visitor:
    """A person in front of the page. Everything that they do waits until it is done."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def be(self, name: str) -> None:
        """Look and act as somebody else."""
        self.page.get_by_label("Viewing as").select_option(label=name)
        self._settled()

    def type_command(self, name: str, *values: str) -> None:
        """Choose a slash command and type what its first options are to be, without sending it."""
        self.page.locator("#channel-composer-input").click()
        self.page.keyboard.type(f"/{name}")
        self.page.locator('.command-popup [role="option"]').first.wait_for()
        self.page.keyboard.press("Enter")
        for value in values:
            option = self.page.locator(".command-option-input:focus")
            option.wait_for()
            self.page.keyboard.type(value)
            expect(option).to_have_value(value, timeout=PATIENCE)
            if self.page.locator('.command-pill.is-focused[data-option="user"]').count():
                self.page.locator('.command-popup [role="option"]', has_text=value).first.wait_for()
                self.page.keyboard.press("Enter")

    def command(self, name: str, *values: str) -> None:
        """The same, and send it."""
        self.type_command(name, *values)
        self._enter(self._no_command_left)

    def attach(self, name: str, path: Path) -> None:
        """Send a slash command whose first option is a file."""
        self.type_command(name)
        self.page.locator("input[type=file]").last.set_input_files(path)
        self._enter(self._no_command_left, send=self.page.get_by_label("Send").last.click)

    def say(self, text: str) -> None:
        """Send a message that is pasted whole."""
        composer = self.page.locator("#channel-composer-input")
        composer.fill(text)
        expect(self.page.locator('.command-popup [role="option"]')).to_have_count(0, timeout=PATIENCE)
        composer.focus()
        self._enter(lambda: expect(composer).to_have_value("", timeout=ENTER_TAKES))

    def press(self, label: str, message: Locator) -> None:
        """Press a button of a message."""
        message.locator(".component-button").filter(has_text=label).click()
        self._settled()

    def message(self, text: str | re.Pattern[str]) -> Locator:
        """The newest message that says that, as soon as there is one."""
        found = self.page.locator("#channel-message-list article").filter(has_text=text).last
        found.wait_for()
        return found

    def picture(self, message: Locator, name: str) -> Image.Image:
        """The picture of that file name in a message, as the browser has it, as soon as it is there to be seen."""
        image = message.locator(f'img[alt="{name}"]')
        expect(image).to_have_js_property("complete", True, timeout=PATIENCE)
        expect(image).not_to_have_js_property("naturalWidth", 0, timeout=PATIENCE)
        return Image.open(io.BytesIO(bytes(image.evaluate(BYTES_OF_IMAGE))))

    def end(self) -> None:
        """End the demo, as its menu offers."""
        self.page.get_by_text("More", exact=True).click()
        self.page.get_by_role("button", name="End preview session").click()

    def _no_command_left(self) -> None:
        expect(self.page.locator(".command-chip")).to_have_count(0, timeout=ENTER_TAKES)

    def _enter(self, gone: Callable[[], None], *, send: Callable[[], None] | None = None) -> None:
        """Send what stands in the line; `gone` fails unless it is gone from there within `ENTER_TAKES`.

        The page passes over a key or a click that comes while it is still reading, and while it is sending.
        """
        for _ in range(PATIENCE // ENTER_TAKES):
            (send or (lambda: self.page.keyboard.press("Enter")))()
            with contextlib.suppress(AssertionError):
                gone()
                break
        else:
            gone()
        self._settled()

    def _settled(self) -> None:
        """What was done has come to its end: the page says so at the top."""
        expect(self.page.locator("#action-status")).not_to_have_text(re.compile("…$"), timeout=PATIENCE)
