"""`python -m tests.fuzz TARGET [--runs N] [--seconds N]`: looks for inputs that lead our code where none has been.

By atheris (libFuzzer with the coverage of Python code), which is there on Linux with the extra `fuzz`. Inputs that led
somewhere new are kept in `.fuzz/<target>` and are what the next run begins with. Ends with an error at the first input
that breaks a target's promise, and says which it was.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from pathlib import Path

import atheris
import structlog

with atheris.instrument_imports(include=["bot", "generation"]):
    from tests.fuzz.targets import TARGETS

MAX_BYTES = 4096
CORPUS = Path(".fuzz")


def main() -> None:
    """Fuzz one target until there is nothing to gain, the runs are done, or something is found."""
    named = {target.name: target for target in TARGETS}
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("target", choices=sorted(named))
    parser.add_argument("--runs", type=int, default=-1)
    parser.add_argument("--seconds", type=int, default=0)
    asked = parser.parse_args()
    target = named[asked.target]
    corpus = CORPUS / target.name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    # Thousands of lines a second about files that are left out would be all that there is to see.
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    warnings.simplefilter("ignore")

    def try_one(data: bytes) -> None:
        target.check(target.from_bytes(data))

    atheris.Setup(
        [sys.argv[0], f"-atheris_runs={asked.runs}", f"-max_total_time={asked.seconds}", f"-max_len={MAX_BYTES}",
         "-timeout=20", f"-artifact_prefix={CORPUS}/found-{target.name}-", "-print_final_stats=1", str(corpus)],
        try_one,
    )  # fmt: skip
    atheris.Fuzz()


if __name__ == "__main__":
    main()
