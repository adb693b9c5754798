"""Runs end-to-end tests with every bot's workers on Ray: `python -m tests.bot.on_cluster [PYTEST'S ARGUMENTS]`.

Without arguments, all of them.
"""

from __future__ import annotations

import os
import subprocess
import sys

from tests.engine.ray_clusters import ray_cluster


def main(arguments: list[str]) -> int:
    """The exit status of pytest."""
    with ray_cluster() as cluster:
        command = [sys.executable, "-m", "pytest", *(arguments or ["-q", "tests/bot"])]
        return subprocess.run(command, env={**os.environ, **cluster.settings()}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
