"""A Ray cluster that asks nobody for a token, as Ray's own default was for long: prints its address, ends with stdin.

`RAY_AUTH_MODE` is read once in a process, so it needs one of its own.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

from tests.engine.ray_clusters import SMALL


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
    try:
        print(cluster.address, flush=True)  # noqa: T201
        sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
