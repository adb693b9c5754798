"""No picture is decoded or encoded on the event loop: it would keep everybody else waiting."""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import pytest
from PIL import Image, ImageFile

from generation.picture import open_picture
from tests.bot.test_uploads import GOOD
from tests.bot.world import World

LARGE = 10_000  # bytes that may be hashed anywhere: keys and commands are shorter, pictures are not


async def test_pictures_are_made_and_read_in_threads(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here, done_here, done_elsewhere = threading.get_ident(), list[str](), set[str]()

    def watched(name: str, function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            if threading.get_ident() == here:
                done_here.append(name)
            else:
                done_elsewhere.add(name)
            return function(*args, **options)

        return call

    monkeypatch.setattr(Image.Image, "save", watched("encode", Image.Image.save))
    monkeypatch.setattr(ImageFile.ImageFile, "load", watched("decode", ImageFile.ImageFile.load))
    sha256 = hashlib.sha256
    hashed = watched("hash", sha256)
    monkeypatch.setattr(hashlib, "sha256", lambda data=b"": (hashed if len(data) > LARGE else sha256)(data))

    grid = await world.drawn("a boat --steps 2")
    await world.press(grid, "U1")
    await world.drawn("a boat --n 1 --steps 2", image=GOOD)
    await world.all_told()
    assert done_here == []
    assert {"encode", "decode"} <= done_elsewhere
    monkeypatch.undo()
    assert open_picture(world.bytes_of(grid)).width > 0
