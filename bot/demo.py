"""`python -m bot demo`: the real bot on an in-memory Discord, looked at in a browser tab. Needs no token.

Nothing but Discord is replaced: commands, storage, queue, worker process and model are those of `run`. What is kept
goes into a folder of its own that ends with the demo, unless the environment names another place: the in-memory Discord
forgets its messages too, so there would be nothing to press in the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from bot.app import open_app
from bot.config import Config
from bot.config_errors import PREFIX
from bot.config_sections import SQLITE, DiscordSection
from bot.demo_cdn import DemoCdn
from bot.messages import load_messages
from generation.errors import LimnerError, ModelUnavailable

if TYPE_CHECKING:
    from bot.demo_page import LivePage

# Jobs that run at the end are given up at once; delivering what is finished and ending the workers takes the rest.
STOP_SECONDS = 5
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


class DemoNotInstalled(LimnerError):
    """The packages of the extra `demo` are not installed. Fields: `detail`."""

    key = "demo_not_installed"


class PortTaken(LimnerError):
    """The page cannot be served there. Fields: `port`."""

    key = "port_taken"


def run(config: Config, port: int, *, open_browser: bool = True) -> None:
    """Serve the page until SIGINT, SIGTERM, or until the person ends it there. `port` 0 takes a free one.

    Raises a `LimnerError` that says in one sentence why that cannot be.
    """
    _look_for_weights(config)
    # simcord makes clients only to look at them, of which discord.py warns, and it speaks of tokens that are none.
    logging.getLogger("discord").setLevel(logging.ERROR)
    with TemporaryDirectory(prefix="limner-demo-") as folder:
        asyncio.run(serve(settings_of_demo(config, Path(folder)), port, open_browser=open_browser))


async def serve(config: Config, port: int, *, open_browser: bool) -> None:
    """The same with settings that are the demo's own already."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with demonstrated(config, port) as (page, trouble):
        _welcome(page.url)
        if open_browser and _has_display():
            # It may take its time, or never return: nothing waits for it.
            threading.Thread(target=_open, args=(page.url,), daemon=True).start()
        ended = [asyncio.create_task(event) for event in (page.wait_closed(), stopped.wait())]
        await asyncio.wait({trouble, *ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.cancel()
        if trouble.done():
            await trouble


@asynccontextmanager
async def demonstrated(config: Config, port: int) -> AsyncIterator[tuple[LivePage, asyncio.Task[None]]]:
    """The bot at work in an in-memory server, the page of its channel, and the task of `App.working`."""
    try:
        from bot.demo_page import open_page  # simcord is an extra
    except ImportError as error:
        raise DemoNotInstalled(detail=str(error)) from error
    async with (
        open_app(config, cdn=DemoCdn) as app,
        open_page(app.client, port, topic=load_messages().say("demo.topic")) as page,
        app.working() as trouble,
    ):
        yield page, trouble


def settings_of_demo(config: Config, folder: Path) -> Config:
    """The settings with storage in `folder`, unless the environment names another, and with no real Discord."""
    own = {"database": f"{SQLITE}{folder / 'limner.sqlite3'}", "files": folder / "files"}
    named = {name.upper() for name in os.environ}
    storage = {key: value for key, value in own.items() if f"{PREFIX}STORAGE__{key}".upper() not in named}
    return config.model_copy(
        update={
            "storage": config.storage.model_copy(update=storage),
            "discord": DiscordSection(shard_count=1),
            "queue": config.queue.model_copy(update={"stop_grace_seconds": STOP_SECONDS}),
        }
    )


def _look_for_weights(config: Config) -> None:
    """The worker would find out too, but only after torch is loaded, and tell each person who wants a picture."""
    name = config.generation.model
    source = config.models[name].source
    if not Path(source).exists() and not HUB_ID.fullmatch(source):
        raise ModelUnavailable(name=name, reason=f"there is nothing at {source}")


def _welcome(url: str) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.text import Text

    console, say = Console(), load_messages().say
    # On a line of its own that nothing breaks: it is to be copied, or read by a program.
    console.print(Text(url), soft_wrap=True)
    console.print(Panel(Text(say("demo.welcome").strip()), title=say("demo.title"), expand=False))
    sys.stdout.flush()


def _has_display() -> bool:
    """Without one, a browser for terminals might take this one."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open(url: str) -> None:
    with contextlib.suppress(webbrowser.Error):  # the address has been printed
        webbrowser.open(url)
