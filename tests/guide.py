"""Makes the pictures of the members' guide anew: `python -m tests.guide [name …]`, all of them or those named.

`docs/prompting.md` shows commands beside their pictures, a row of a table each: the command as a code span, the picture
in the last column. The commands are typed, as they stand there, into the real bot with the embedded model on an
in-memory Discord. `image:` and `mask:` name files beside the guide.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from generation.engine.settings import EngineSettings
from tests.bot.world import PATIENCE, SETTINGS, World, open_world, public

GUIDE = Path(__file__).parents[1] / "docs" / "prompting.md"
_ROW = re.compile(
    r"^\|.*?`/(?P<command>[a-z]+) (?P<typed>[^`]+)`.*\| !\[[^\]]*\]\((?P<picture>[^)]+)\) \|$", re.MULTILINE
)
_OPTION = re.compile(r"(?:^| )(image|mask|region|words|side|percent|kind|strength|prompt):(?! )")
_NUMBERS = {"percent": int, "strength": float}
CREDITS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One row: the command's name, what is typed behind it, and the file of its picture beside the guide."""

    command: str
    typed: str
    picture: str

    @property
    def file(self) -> Path:
        return GUIDE.parent / self.picture

    def options(self) -> dict[str, object]:
        """What is typed, by option. Words without an option are the prompt."""
        start, *named = _OPTION.split(self.typed)
        options: dict[str, object] = {"prompt": start.strip()} if start.strip() else {}
        for name, value in zip(named[::2], named[1::2], strict=True):
            if name in ("image", "mask"):
                path = GUIDE.parent / value.strip()
                options[name] = (path.name, path.read_bytes())
            else:
                options[name] = _NUMBERS.get(name, str)(value.strip())
        return options


def examples() -> list[Example]:
    """All rows of the guide, in order: pictures that others start from come before them."""
    return [Example(**row.groupdict()) for row in _ROW.finditer(GUIDE.read_text(encoding="utf-8"))]


@asynccontextmanager
async def guide_world() -> AsyncIterator[World]:
    """The bot with the embedded model, as shipped, on one thread: the pictures shall not depend on the machine."""
    settings = SETTINGS.replace("preview_every = 1", "preview_every = 0\nthreads = 1")
    settings += f"\n[quota]\ndaily_credits = {CREDITS}\n"
    # Drawn one after the other by one member, on a machine of any speed.
    settings += "\n[limits]\n" + "".join(
        f"{kind}_per_minute = 1000\n" for kind in ("orders", "uploads", "interactions")
    )
    with TemporaryDirectory(prefix="limner-guide-") as folder:
        async with open_world(Path(folder), settings=settings, engine_settings=EngineSettings()) as world:
            yield world


async def drawn(world: World, example: Example) -> Image.Image:
    """The picture that comes of typing it."""
    result = await world.member.slash(world.channel, example.command, **example.options())
    message = public(result)
    await world.until(
        lambda: "Done in" in world.now(message).content,
        about=lambda: f"{example.typed}: {world.now(message).content}",
        seconds=5 * PATIENCE,
    )
    return Image.open(io.BytesIO(world.bytes_of(world.now(message)))).convert("RGB")


async def main(names: Iterable[str]) -> None:
    """Draw and write them."""
    wanted = set(names)
    async with guide_world() as world:
        for example in examples():
            if wanted and Path(example.picture).stem not in wanted:
                continue
            picture = await drawn(world, example)
            example.file.parent.mkdir(exist_ok=True)
            picture.save(example.file)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
