"""The members' guide tells the truth: each of its pictures is what its command draws."""

from __future__ import annotations

from PIL import Image

from generation.pocket.measure import distance
from tests.guide import GUIDE, drawn, examples, guide_world

MOST_DIFFERENCE = 2.0  # mean, in 255ths: processors round differently


def test_every_picture_has_a_command_and_every_file_is_shown() -> None:
    shown = {example.picture for example in examples()}
    assert len(shown) == len(examples()) > 20
    assert GUIDE.read_text(encoding="utf-8").count("](prompting/") == len(shown)
    assert {f"prompting/{file.name}" for file in (GUIDE.parent / "prompting").iterdir()} == shown


async def test_each_command_draws_its_picture() -> None:
    async with guide_world() as world:
        for example in examples():
            with Image.open(example.file) as kept:
                picture = await drawn(world, example)
                assert picture.size == kept.size, example.typed
                assert distance(picture, kept.convert("RGB")) < MOST_DIFFERENCE, example.typed
