"""Makes the README's pictures anew: `python -m tests.screenshots docs/` runs the demo and looks at it as people do.

demo.png is the page with a grid and a next command half typed; grid.png is that grid, as the bot sent it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.demo_browser import running_demo, visit

PROMPT = "a red boat on the sea --ar 3:2 --seed 5"
NEXT_PROMPT = "a yellow house on snow"


def main(folder: Path) -> None:
    """Write both into the folder."""
    with running_demo() as demo, visit(demo.address) as visitor:
        visitor.command("imagine", PROMPT)
        message = visitor.message("Done in")
        visitor.picture(message, "limner-1.png").save(folder / "grid.png")
        visitor.press("U3", message)
        picked = visitor.message("picture 3")
        visitor.picture(picked, "limner-1-3.png")
        visitor.type_command("imagine", NEXT_PROMPT)
        visitor.page.screenshot(path=folder / "demo.png")
        visitor.end()
        demo.ended()


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs"))
