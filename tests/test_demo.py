"""The demo, as a person meets it in a browser, and how it says that it cannot be."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageChops
from playwright.sync_api import expect

from bot.app import open_app
from bot.config import load_config
from bot.demo import DemoNotInstalled, demonstrated, settings_of_demo
from bot.demo_page import open_page, typed_options
from generation.pocket import measure
from tests.bot.world import private
from tests.demo_browser import PATIENCE, REPOSITORY, Demo, Visitor, browser, running_demo, visit


@pytest.fixture
def chromium() -> None:
    if browser() is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("there is no Chromium: apt-get install chromium")


@pytest.mark.browser
@pytest.mark.usefixtures("chromium")
def test_from_prompt_to_picture_to_buttons(tmp_path: Path) -> None:
    with running_demo() as demo, visit(demo.address) as visitor:
        cells = _draws_red_boats(visitor)
        _picks_the_third(visitor, cells[2])
        _brings_a_picture(visitor, tmp_path)
        _is_moderated(visitor)
        _ends_it(visitor, demo)


def _draws_red_boats(visitor: Visitor) -> list[Image.Image]:
    visitor.command("imagine", "a red boat on the sea --ar 3:2 --seed 7")
    message = visitor.message("Done in")
    said = message.inner_text()
    assert "a red boat on the sea --ar 3:2 --seed 7" in said
    assert "seed 7 · 4 credits · 96 credits left" in said
    size = re.search(r"(\d+)×(\d+)", said)
    assert size is not None
    width, height = map(int, size.groups())

    grid = visitor.picture(message, "limner-1.png")
    assert grid.size == (2 * width, 2 * height)
    corners = [(x, y) for y in (0, height) for x in (0, width)]
    cells = [grid.crop((x, y, x + width, y + height)).convert("RGB") for x, y in corners]
    # The model is right in nine of ten, or better: what comes out is told from what was asked for by two at most.
    assert [measure.subject_colour(cell) for cell in cells].count("red") >= 3
    assert [measure.ground(cell) for cell in cells].count("sea") >= 3
    return cells


def _picks_the_third(visitor: Visitor, third: Image.Image) -> None:
    visitor.press("U3", visitor.message("Done in"))
    message = visitor.message("picture 3, picked by @ada")
    picture = visitor.picture(message, "limner-1-3.png").convert("RGB")
    assert picture.size == third.size
    assert ImageChops.difference(picture, third).getbbox() is None
    assert "Upscale (Subtle)" in message.inner_text()


def _brings_a_picture(visitor: Visitor, folder: Path) -> None:
    """Sky over grass, and so are its variations."""
    path = folder / "meadow.png"
    meadow = Image.new("RGB", (90, 60), (150, 200, 250))
    meadow.paste((60, 170, 60), (0, 30, 90, 60))
    meadow.save(path)
    visitor.attach("vary", path)
    message = visitor.message(re.compile(r"variations by @ada\s*Done in"))
    assert "152×104" in message.inner_text()
    grid = visitor.picture(message, "limner-2.png").convert("RGB")
    cell = grid.crop((0, 0, 152, 104))
    for rows, strongest in (((0, 30), 2), ((74, 104), 1)):
        colour = cell.crop((0, rows[0], 152, rows[1])).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
        assert colour[strongest] == max(colour)


def _is_moderated(visitor: Visitor) -> None:
    visitor.be("moderator")
    visitor.say("/quota set user:@ada credits:4")
    said = visitor.message("Credits for @ada: 4 from now").inner_text()
    assert "Only you can see this" in said
    visitor.be("ada")
    expect(visitor.page.get_by_text("Credits for @ada")).to_have_count(0, timeout=PATIENCE)
    visitor.command("info")
    visitor.message("Credits left: 4 (of 4 a day")


def _ends_it(visitor: Visitor, demo: Demo) -> None:
    visitor.end()
    assert demo.ended() == 0


def test_ctrl_c_ends_it_in_good_order() -> None:
    with running_demo() as demo:
        demo.interrupt()
        assert demo.ended() == 0
        assert "Traceback" not in demo.logged()


@pytest.mark.parametrize(
    ("typed", "understood"),
    [
        ("", {}),
        ("a red boat --ar 3:2 --no style", {"prompt": "a red boat --ar 3:2 --no style"}),
        ("prompt: a red boat style:ink", {"prompt": "a red boat", "style": "ink"}),
        ("a boat by:@ada ", {"prompt": "a boat", "by": "11"}),
        ("by:nobody", {"by": "nobody"}),
    ],
)
def test_a_command_that_is_typed_whole(typed: str, understood: dict[str, str]) -> None:
    types = {"prompt": "string", "style": "string", "by": "user"}
    assert typed_options(typed, types, {"ada": "11"}) == understood


def test_a_port_that_is_taken_is_one_sentence() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        said = _refused("--port", port)
    assert said == f"Port {port} is taken: name another one with `--port`, or `--port 0` for any that is free."


def test_missing_weights_are_one_sentence(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    config = tmp_path / "config.toml"
    config.write_text(f'[models.pocket]\nsource = "{nowhere}"\n')
    said = _refused("--port", "0", "--config", str(config))
    assert said == f"The model `pocket` cannot be used: there is nothing at {nowhere}."


async def test_without_its_packages_the_demo_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "simcord", None)
    monkeypatch.delitem(sys.modules, "bot.demo_page", raising=False)
    with pytest.raises(DemoNotInstalled, match="simcord"):
        async with demonstrated(load_config(REPOSITORY / "config.toml"), 0):
            pass


def test_the_demo_keeps_its_things_apart_unless_the_environment_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(REPOSITORY / "config.toml")
    assert settings_of_demo(config, tmp_path).storage.database == f"sqlite+aiosqlite:///{tmp_path}/limner.sqlite3"
    assert settings_of_demo(config, tmp_path).storage.files == tmp_path / "files"

    monkeypatch.setenv("LIMNER_STORAGE__DATABASE", "sqlite+aiosqlite:////elsewhere/limner.sqlite3")
    config = load_config(REPOSITORY / "config.toml")
    assert settings_of_demo(config, tmp_path).storage.database == "sqlite+aiosqlite:////elsewhere/limner.sqlite3"
    assert settings_of_demo(config, tmp_path).storage.files == tmp_path / "files"


async def test_the_bot_of_the_demo_belongs_to_one_of_its_people(tmp_path: Path) -> None:
    config = settings_of_demo(load_config(REPOSITORY / "config.toml"), tmp_path)
    async with open_app(config) as app, open_page(app.client, 0, topic="") as page:
        owner = next(person for person in page.viewers if person.name == "owner")
        answer = await owner.slash(page.channel, "admin status")
    assert "Waiting: 0 fast" in private(answer)


async def test_whoever_keeps_the_storage_meets_the_same_people_again(tmp_path: Path) -> None:
    config = settings_of_demo(load_config(REPOSITORY / "config.toml"), tmp_path)
    met, messages = [], set()
    for _ in range(2):
        async with open_app(config) as app, open_page(app.client, 0, topic="") as page:
            met.append((page.channel.id, [person.id for person in page.viewers]))
            messages.add((await page.viewers[0].send(page.channel, "hello")).id)
    assert met[0] == met[1]
    assert len(messages) == 2


def _refused(*arguments: str) -> str:
    """What is printed, besides logs, by a demo that does not start."""
    command = [sys.executable, "-m", "bot", "demo", "--no-open", *arguments]
    environment = {**os.environ, "LIMNER_LOGS__LEVEL": "error"}
    ended = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert ended.stdout == ""
    return ended.stderr.strip()
