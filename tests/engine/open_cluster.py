"""A Ray cluster that asks nobody for a token, as Ray's own default was for long: prints its address, ends with stdin.

`RAY_AUTH_MODE` is read once in a process, so it needs one of its own.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

from tests.engine.ray_clusters import LONG, SMALL


def main() -> None:
    cluster = Cluster()
    try:
        cluster._wait_for_node(cluster.add_node(wait=False, num_cpus=0, **SMALL), timeout=LONG)
        print(cluster.address, flush=True)  # noqa: T201
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
