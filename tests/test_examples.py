"""The pictures that /help and its like show are what was typed for them."""

from __future__ import annotations

import io

from PIL import Image

from bot.examples import CELL, FOLDER, Shown, examples, sheet
from bot.help import START, WRITTEN
from generation.pocket.measure import distance
from tests import guide
from tests.examples import drawn
from tests.test_guide import MOST_DIFFERENCE


def test_every_picture_has_its_words_and_every_file_is_there() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {"examples.toml", *(f"{name}.png" for name in examples())}
    shown = {name for _, names in (START, *WRITTEN) for name in names}
    assert shown <= set(examples())
    unshown = set(examples()) - shown
    assert all(name.partition("-")[0] in ("style", "lora", "model") for name in unshown)


def test_a_sheet_shows_pictures_beside_one_another_in_order() -> None:
    shown = [Shown(example=examples()[name], label=name) for name in ("boat", "sunset", "wide", "night")]
    picture = Image.open(io.BytesIO(sheet(shown))).convert("RGB")
    assert picture.width == 4 * (CELL + 8) + 8
    with Image.open(examples()["sunset"].file) as opened:
        sunset = opened.convert("RGB").resize((CELL, CELL), Image.Resampling.LANCZOS)
    left = CELL + 16
    assert distance(picture.crop((left, 8, left + CELL, 8 + CELL)), sunset) < 6
    assert Image.open(io.BytesIO(sheet(shown[:1]))).width < 2 * CELL


async def test_each_example_draws_its_picture() -> None:
    """Those that stand in the members' guide too are drawn by its test: they are the same pictures."""
    in_guide = {row.typed: row.file for row in guide.examples() if row.command == "imagine"}
    assert any(example.typed in in_guide for example in examples().values())
    async with guide.guide_world() as world:
        for example in examples().values():
            with Image.open(example.file) as kept:
                if example.typed in in_guide:
                    with Image.open(in_guide[example.typed]) as there:
                        picture, most = there.convert("RGB"), 0.01
                else:
                    picture, most = await drawn(world, example), MOST_DIFFERENCE
                assert picture.size == kept.size, example.typed
                assert distance(picture, kept.convert("RGB")) < most, example.typed
