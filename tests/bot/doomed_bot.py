"""A bot without Discord, for tests that kill it: `python -m tests.bot.doomed_bot config.toml`.

It draws what is queued and stores it. It cannot deliver anything, because it is not logged in anywhere.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bot.app import open_app
from bot.config import load_config
from bot.logs import configure_logs
from tests.bot.world import QUICK


async def main() -> None:
    configure_logs(level="warning", format="console")  # as a bot does: no traceback of its shows variables
    async with open_app(load_config(Path(sys.argv[1])), engine_settings=QUICK) as app, app.working():
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
