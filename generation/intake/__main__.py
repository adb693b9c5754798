"""The child: `python -m generation.intake <pixels> <memory> <cpu seconds> <result bytes>`, the file on stdin.

Its answer on stdout is one line of JSON and then, if the picture is taken, the PNG. It dies of whatever else goes
wrong, and the parent then knows that the picture cannot be read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import resource
import sys


def main(max_pixels: int, memory: int, cpu_seconds: int, result_bytes: int) -> None:
    """Give up what is not needed, then read."""
    _confine(memory, cpu_seconds, result_bytes)
    # Only from here on is anything loaded that touches the picture.
    from generation.errors import RequestRejected
    from generation.intake.normalise import normalise, png_of
    from generation.picture import read_parameters, read_recipe

    data, answer = sys.stdin.buffer.read(), sys.stdout.buffer
    try:
        picture = normalise(data, max_pixels=max_pixels)
    except RequestRejected as refused:
        answer.write(json.dumps({"refused": refused.key, "fields": refused.fields}).encode() + b"\n")
        return
    recipe, parameters = read_recipe(data), read_parameters(data)
    told = {
        "width": picture.width,
        "height": picture.height,
        "greys": picture.convert("L").getextrema(),
        "recipe": None if recipe is None else recipe.to_dict(),
        "parameters": None if parameters is None else dataclasses.asdict(parameters),
    }
    answer.write(json.dumps(told).encode() + b"\n")
    answer.write(png_of(picture))


def _confine(memory: int, cpu_seconds: int, result_bytes: int) -> None:
    """Limits that hold whatever a decoder can be made to do; none of them can be raised again."""
    for limit, value in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu_seconds),
        (resource.RLIMIT_FSIZE, result_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        with contextlib.suppress(ValueError, OSError):  # a system that knows no such limit; the parent's clock is left
            resource.setrlimit(limit, (value, value))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
