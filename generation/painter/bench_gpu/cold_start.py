"""The first picture of a fresh process: `python -m generation.painter.bench_gpu.cold_start`.

Reads one JSON object from stdin: `painter` (the fields of `PainterSettings`), `plain` (whether plain diffusers paints,
on the device that they name), `model` (the fields of `ModelSpec`), `steps`, and `spawned_at`, which is `time.time()`
from before this process was made. Prints the seconds from then to the picture.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from generation.catalogue import ModelSpec
from generation.engine.settings import PainterSettings

PROMPT = "a red boat on the sea"
MOST_SECONDS = 1800.0


def cold_start(painter: PainterSettings, model: ModelSpec, *, steps: int, plain: bool = False) -> float:
    """Seconds from before a process is made until it has painted a picture."""
    order = {
        "painter": asdict(painter),
        "plain": plain,
        "model": asdict(model),
        "steps": steps,
        "spawned_at": time.time(),
    }
    done = subprocess.run(
        [sys.executable, "-m", "generation.painter.bench_gpu.cold_start"],
        input=json.dumps(order),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=MOST_SECONDS,
    )
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    # After the process was made: loading torch is a part of what is measured.
    from generation.painter.bench_gpu.contestants import Contestant, OurPainter, plain_diffusers
    from generation.painter.bench_gpu.recipes import square

    order: dict[str, Any] = json.load(sys.stdin)
    settings, model = PainterSettings(**order["painter"]), ModelSpec(**order["model"])
    contestant: Contestant = plain_diffusers(settings, model) if order["plain"] else OurPainter(settings, model)
    contestant.paint([square(model, PROMPT, steps=order["steps"])], lambda: None)
    sys.stdout.write(f"{time.time() - order['spawned_at']}\n")


if __name__ == "__main__":
    main()
