"""`python -m bot run`: a real process, real HTTP, a real gateway, the pocket model; the server is not Discord's."""

from __future__ import annotations

import asyncio
import io
import os
import random
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import aiohttp
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer as TestServer
from PIL import Image

from bot import background
from bot.app import open_app, serve
from bot.client import api_root
from bot.config import load_config
from bot.single_instance import AlreadyRunning
from storage.errors import InstanceTaken, StorageOutdated
from storage.wakeups import Hearer, Wakeups
from tests.bot.local_discord import DEFERRED_ANSWER, GOOD_TOKEN, imagine, local_discord
from tests.bot.world import PATIENCE, QUICK, SETTINGS, open_world, wait_for

ROOT = Path(__file__).parent.parent.parent
# With its workers on a cluster it holds a part of Ray.
MAX_BOT_MEGABYTES = 200 if "LIMNER_CLUSTER__ADDRESS" in os.environ else 150
NOT_CONNECTED = "not connected to Discord"
PATIENCE_WITH_PROCESSES = 3 * PATIENCE  # Python and torch take their time to load where others work too


def settings_in(folder: Path) -> Path:
    path = folder / "config.toml"
    path.write_text(SETTINGS)
    return path


@asynccontextmanager
async def bot_process(
    folder: Path, *, stderr: int | None = None, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program as people start it. What it logs at debug is watched with what pytest captures."""
    environment = {"LIMNER_LOGS__LEVEL": "debug", **environment}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "run", "--config", str(settings_in(folder)),
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", **environment}, stderr=stderr,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def free_port() -> int:
    """Below those that systems give to connections by themselves, so that none takes it before the program does."""
    while True:
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", random.randrange(10_000, 30_000)))
            return int(found.getsockname()[1])


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def why_not(folder: Path, **environment: str) -> str:
    """The sentence with which the program does not start."""
    async with bot_process(folder, stderr=asyncio.subprocess.PIPE, **environment) as process:
        _, said = await asyncio.wait_for(process.communicate(), PATIENCE_WITH_PROCESSES)
        assert process.returncode == 1
    lines = said.decode().splitlines()
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


async def healthy(prometheus: aiohttp.ClientSession, *, ok: bool) -> None:
    """Wait until the program says that it is, or is not, because it cannot hear Discord."""
    expected = (200, {"ok": True, "problems": []}) if ok else (503, {"ok": False, "problems": [NOT_CONNECTED]})
    async with asyncio.timeout(PATIENCE_WITH_PROCESSES):
        while True:
            async with prometheus.get("/healthz") as answer:
                if (answer.status, await answer.json()) == expected:
                    return
            await asyncio.sleep(0.1)


async def test_an_order_over_the_wire_and_a_stop_in_good_order(tmp_path: Path) -> None:
    port = free_port()
    watched = {"LIMNER_METRICS__ENABLED": "true", "LIMNER_METRICS__PORT": str(port)}
    async with (
        local_discord() as discord,
        bot_process(tmp_path, DISCORD_TOKEN=GOOD_TOKEN, LIMNER_DISCORD__API_URL=discord.url, **watched) as bot,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as prometheus,
    ):
        await wait_for(
            lambda: discord.identified.is_set() or bot.returncode is not None,
            about=lambda: discord.requests,
            seconds=PATIENCE_WITH_PROCESSES,
        )
        assert {"imagine", "queue", "info", "quota"} <= {command["name"] for command in discord.commands}
        megabytes = psutil.Process(bot.pid).memory_info().rss / 2**20
        assert megabytes < MAX_BOT_MEGABYTES

        # While the database is slow, the answer is deferred: Discord waits three seconds and no longer.
        with closing(sqlite3.connect(tmp_path / "limner.sqlite3", isolation_level=None, timeout=30)) as other_program:
            other_program.execute("BEGIN IMMEDIATE")
            await discord.send_event("INTERACTION_CREATE", imagine("a red boat on the sea --n 1 --steps 4 --seed 7"))
            await wait_for(lambda: discord.bodies("POST", "/callback"))
            assert discord.bodies("POST", "/callback")[0]["type"] == DEFERRED_ANSWER
            other_program.execute("COMMIT")
        await wait_for(
            lambda: any("Done in" in body["content"] for body in discord.bodies("PATCH", "/webhooks/")),
            about=lambda: discord.requests,
            seconds=PATIENCE_WITH_PROCESSES,
        )
        with Image.open(io.BytesIO(discord.files["limner-1.png"])) as picture:
            assert picture.size[0] >= 128
        async with prometheus.get("/healthz") as answer:
            assert (answer.status, await answer.json()) == (200, {"ok": True, "problems": []})
        async with prometheus.get("/metrics") as answer:
            assert 'limner_jobs_ended_total{kind="imagine",status="done"} 1.0' in await answer.text()

        assert discord.gateway is not None
        discord.mute = True
        await discord.gateway.close()
        await healthy(prometheus, ok=False)
        async with prometheus.get("/metrics") as answer:
            assert "limner_connected 0.0" in (await answer.text()).splitlines()
        discord.mute = False
        await healthy(prometheus, ok=True)

        children = psutil.Process(bot.pid).children(recursive=True)
        bot.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(bot.wait(), PATIENCE) == 0
        assert not [child for child in children if is_alive(child)]


async def test_without_a_token_it_says_where_one_belongs(tmp_path: Path) -> None:
    assert "DISCORD_TOKEN" in await why_not(tmp_path, DISCORD_TOKEN="")


async def test_a_wrong_token_and_a_server_that_is_not_there_are_named(tmp_path: Path) -> None:
    async with local_discord() as discord:
        said = await why_not(tmp_path, DISCORD_TOKEN="x", LIMNER_DISCORD__API_URL=discord.url)
        assert "does not know this token" in said
    said = await why_not(tmp_path, DISCORD_TOKEN="x", LIMNER_DISCORD__API_URL=discord.url)
    assert "cannot be reached" in said


@pytest.mark.parametrize(("content_type", "body"), [("text/html", "<h1>It works!</h1>"), ("application/json", "{")])
async def test_a_server_that_speaks_something_else_is_named(tmp_path: Path, content_type: str, body: str) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(body=body.encode(), content_type=content_type)

    async with TestServer(answer) as server:
        url = f"http://127.0.0.1:{server.port}"
        said = await why_not(tmp_path, DISCORD_TOKEN="x", LIMNER_DISCORD__API_URL=url)
    assert "does not speak Discord's API" in said


async def test_a_second_bot_on_the_same_database_is_refused(tmp_path: Path) -> None:
    config = load_config(settings_in(tmp_path))
    async with open_app(config, engine_settings=QUICK):
        with pytest.raises(AlreadyRunning):
            async with open_app(config, engine_settings=QUICK):
                pass
    async with open_app(config, engine_settings=QUICK):
        pass


async def test_a_database_of_another_version_is_left_alone(tmp_path: Path) -> None:
    config = load_config(settings_in(tmp_path))
    async with open_app(config, engine_settings=QUICK):
        pass
    with sqlite3.connect(tmp_path / "limner.sqlite3") as database:
        database.execute("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(StorageOutdated):
        async with open_app(config, engine_settings=QUICK):
            pass


@pytest.mark.parametrize(
    ("url", "root"),
    [
        ("http://localhost:8080", "http://localhost:8080/api/v10"),
        ("http://localhost:8080/", "http://localhost:8080/api/v10"),
        ("https://proxy/api/v10", "https://proxy/api/v10"),
        ("https://proxy/discord/v10/", "https://proxy/discord/v10"),
    ],
)
def test_the_address_of_another_server(url: str, root: str) -> None:
    assert api_root(url) == root


async def test_what_ends_beside_the_queue_and_cannot_be_begun_again_ends_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_world(tmp_path, working=False) as world:
        breaks_down = asyncio.Event()

        async def break_down() -> None:
            await breaks_down.wait()
            raise KeyError("a mistake of ours")

        monkeypatch.setattr(world.app.services.courier, "run", break_down)
        async with asyncio.timeout(PATIENCE), world.app.working() as trouble:
            assert not trouble.done()
            breaks_down.set()
            with pytest.raises(KeyError):
                await trouble
    assert "courier_failed" in capsys.readouterr().out


async def test_what_ends_beside_the_queue_and_can_be_begun_again_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(background, "AGAIN_SECONDS", 0.0)
    async with open_world(tmp_path, working=False) as world:
        begun_again, breaks_down = asyncio.Event(), [True]

        async def break_down_once() -> None:
            if breaks_down:
                raise KeyError(breaks_down.pop())
            begun_again.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(world.app.services.pauses, "run", break_down_once)
        async with asyncio.timeout(PATIENCE), world.app.working() as trouble:
            await begun_again.wait()
            assert not trouble.done()
    assert "pauses_failed" in capsys.readouterr().out


async def test_a_place_that_another_bot_has_by_now_ends_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at its start, but in good order; when that is, `storage.wakeups` knows."""

    async def listen(wakeups: Wakeups, hearer: Hearer) -> None:
        raise InstanceTaken(instance="here")

    monkeypatch.setattr(Wakeups, "listen", listen)
    async with local_discord() as discord:
        monkeypatch.setenv("LIMNER_DISCORD__API_URL", discord.url)
        config, before = load_config(settings_in(tmp_path)), set(psutil.Process().children(recursive=True))
        with pytest.raises(InstanceTaken):
            async with asyncio.timeout(PATIENCE_WITH_PROCESSES):
                await serve(config, GOOD_TOKEN, engine_settings=QUICK)
    assert set(psutil.Process().children(recursive=True)) <= before
