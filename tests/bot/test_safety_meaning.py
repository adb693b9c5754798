"""With the pocket model and its own classifier in a real worker: cats are not shown, boats are."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from generation.engine.settings import EngineSettings
from generation.errors import EngineDead
from generation.pocket.measure import subject_colour
from tests.bot.test_safety import settings
from tests.bot.world import PATIENCE, SETTINGS, open_world

LONG = 5 * PATIENCE


def quiet(text: str) -> str:
    return text.replace("preview_every = 1", "preview_every = 4\nthreads = 1")


async def test_cats_are_blocked_and_boats_are_drawn(tmp_path: Path) -> None:
    async with open_world(tmp_path, settings=quiet(settings()), engine_settings=EngineSettings()) as world:
        cat = await world.imagine("a black cat on the grass --seed 8 --n 1")
        boat = await world.imagine("a red boat on the sea --seed 7 --n 1", by=world.stranger)
        await world.until(lambda: "Done in" in world.now(boat).content, seconds=LONG)
        assert subject_colour(Image.open(io.BytesIO(world.bytes_of(world.now(boat)))).convert("RGB")) == "red"
        await world.until(lambda: "not shown" in world.now(cat).content, seconds=LONG)
        assert world.now(cat).attachments == []
        assert await world.credits() == 100
        [entry] = await world.app.services.storage.moderator_log.latest(world.guild.id, 5)
        assert entry.target_id == world.member.id
        assert entry.details["score"] >= 0.5


async def test_a_worker_whose_classifier_is_broken_draws_nothing(tmp_path: Path) -> None:
    """The bot itself reads the labels only: what is wrong with the weights, a worker finds before it paints."""
    folder = tmp_path / "guard"
    folder.mkdir()
    for path in (Path(__file__).parents[2] / "generation" / "pocket" / "safety").iterdir():
        data = path.read_bytes()
        (folder / path.name).write_bytes(data[: len(data) // 2] if path.suffix == ".safetensors" else data)
    text = SETTINGS + '\n[safety]\nclassifier = "./guard"\nlabel = "cat"\n'
    async with open_world(tmp_path, settings=quiet(text), engine_settings=EngineSettings(), working=False) as world:
        await world.imagine("a red boat on the sea --seed 7 --n 1")
        with pytest.raises(EngineDead, match=r"image classifier .*guard: its files are broken"):
            async with asyncio.timeout(LONG), world.app.working() as queue:
                await queue
        assert not [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
