"""Makes the example pictures that /help and its like show: `python -m tests.examples [name …]`, all or those named.

What is typed for each stands in `bot/example_pictures/examples.toml`; it is typed, as it stands there, into the real
bot with the embedded model on an in-memory Discord.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable

from PIL import Image

from bot.examples import Example, examples
from tests import guide
from tests.bot.world import World


async def drawn(world: World, example: Example) -> Image.Image:
    """The picture that comes of typing it."""
    typed = guide.Example(command="imagine", typed=example.typed, picture=example.file.name)
    return await guide.drawn(world, typed)


async def main(names: Iterable[str]) -> None:
    """Draw and write them."""
    wanted = set(names)
    async with guide.guide_world() as world:
        for example in examples().values():
            if not wanted or example.name in wanted:
                (await drawn(world, example)).save(example.file)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
