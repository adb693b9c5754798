"""`python -m generation.painter.bench_gpu`: reads a `Plan` from stdin, prints one JSON object of figures.

What is refused comes out as `{"refused": {"setting": …, "reason": …}}`.
"""

from __future__ import annotations

import json
import sys

from generation.errors import SettingRefused
from generation.painter.bench_gpu.measuring import measure
from generation.painter.bench_gpu.plan import Plan


def main() -> None:
    plan = Plan.read(sys.stdin.read())
    try:
        answer: object = measure(plan)
    except SettingRefused as error:
        answer = {"refused": error.fields}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
