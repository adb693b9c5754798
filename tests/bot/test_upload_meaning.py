"""With the pocket model itself: how far pictures move from the one that somebody brought."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import ExifTags, Image, ImageDraw

from generation.engine.settings import EngineSettings
from generation.pocket.measure import distance
from tests.bot.world import PATIENCE, SETTINGS, World, open_world, public

LONG = 5 * PATIENCE


def seaside() -> Image.Image:
    """A picture as somebody may paint it: sky, sea, a red boat; in the shape of the bucket 152×104, but larger."""
    picture = Image.new("RGB", (456, 312), (150, 200, 250))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 190, 456, 312), (30, 80, 160))
    draw.polygon([(150, 180), (310, 180), (280, 220), (180, 220)], (210, 40, 40))
    return picture


def photograph(picture: Image.Image) -> tuple[str, bytes]:
    """As a phone stores it: lying on its side, with a note to turn it."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = io.BytesIO()
    picture.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", quality=95, exif=exif)
    return "photo.jpg", file.getvalue()


async def test_strength_moves_a_picture_away_step_by_step(tmp_path: Path) -> None:
    settings = SETTINGS.replace("preview_every = 1", "preview_every = 0\nthreads = 1")
    async with open_world(tmp_path, settings=settings, engine_settings=EngineSettings()) as world:
        source = seaside()
        at_size = source.resize((152, 104), Image.Resampling.LANCZOS)
        moved = []
        for strength in ("0", "0.3", "0.6", "1"):
            options = {"image": photograph(source)}
            message = await world.imagine(f"a red boat on the sea --seed 3 --n 1 --strength {strength}", **options)
            picture = await drawn(world, message.id)
            assert picture.size == at_size.size
            moved.append(distance(at_size, picture))
        assert moved[0] < 3  # JPEG's own loss
        assert moved[0] < moved[1] < moved[2] < moved[3]

        wordless = public(await world.member.slash(world.channel, "vary", image=photograph(source), strength=0.3))
        grid = await drawn(world, wordless.id)
        assert distance(at_size, grid.crop((0, 0, 152, 104))) < moved[3]


async def drawn(world: World, message_id: int) -> Image.Image:
    message = next(found for found in world.messages() if found.id == message_id)
    await world.until(lambda: "Done in" in world.now(message).content, seconds=LONG, about=lambda: world.now(message))
    return Image.open(io.BytesIO(world.bytes_of(world.now(message)))).convert("RGB")
