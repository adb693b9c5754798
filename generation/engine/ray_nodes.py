"""What the nodes of a cluster have: asked of each by a task of its own, in a process that ends with the answer.

`python -m generation.engine.ray_nodes ADDRESS` prints it as JSON, for `doctor`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from generation.engine.ray_asking import ask_apart
from generation.engine.ray_settings import ClusterSettings
from generation.engine.ray_versions import differences, own_versions

NODE_SECONDS = 60.0  # for a node to start a process and import Limner from a cold disk
LOOK_SECONDS = 180.0
GIGABYTE = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNode:
    """One living node, and what it lends in all, used or not; memory in gigabytes.

    `differences` are of its versions from this program's, in words; `problem` is why it could not say.
    """

    address: str
    gpus: float
    cpus: float
    memory: float
    gpu_memory: float
    differences: str = ""
    problem: str = ""

    def room(self, cluster: ClusterSettings) -> int:
        """How many of the workers this node holds, if nobody else uses it."""
        if self.differences or self.problem:
            return 0
        pairs = (
            (self.gpus, cluster.gpus_per_worker),
            (self.cpus, cluster.cpus_per_worker),
            (self.memory, cluster.memory_gigabytes),
            (self.gpu_memory, cluster.gpu_memory_gigabytes),
        )
        return min((int(has / needs + 1e-9) for has, needs in pairs if needs), default=cluster.workers)


async def look_at_nodes(address: str) -> Sequence[ClusterNode]:
    """The living nodes of a cluster that lets us in. Raises `ClusterUnreachable`."""
    answer = await ask_apart("generation.engine.ray_nodes", address, environment=os.environ, patience=LOOK_SECONDS)
    return [ClusterNode(**node) for node in json.loads(answer)]


def main(address: str) -> None:
    """Connect, ask every node, print one line of JSON."""
    import ray

    from generation.engine.ray_door import insist_on_token

    insist_on_token()
    ray.init(address=address, log_to_driver=False, configure_logging=False)
    nodes = [node for node in ray.nodes() if node["Alive"]]
    asked = [ask(node["NodeID"]) for node in nodes]
    print(json.dumps([asdict(described(node, answer)) for node, answer in zip(nodes, asked, strict=True)]))  # noqa: T201


def ask(node_id: str) -> object:
    """Have that node say its versions; the reference to what it will say."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    strategy = NodeAffinitySchedulingStrategy(node_id=node_id, soft=False)
    return ray.remote(own_versions).options(num_cpus=0, max_retries=0, scheduling_strategy=strategy).remote()


def described(node: dict[str, object], answer: object) -> ClusterNode:
    """What Ray and the node itself say of it."""
    import ray

    lends = node["Resources"]
    assert isinstance(lends, dict)
    different, problem = "", ""
    try:
        different = differences(ray.get(answer, timeout=NODE_SECONDS), own_versions())
    except ray.exceptions.RayError as error:
        problem = str(error).strip().splitlines()[-1]
    return ClusterNode(
        address=str(node["NodeManagerAddress"]),
        gpus=lends.get("GPU", 0.0),
        cpus=lends.get("CPU", 0.0),
        memory=lends.get("memory", 0.0) / GIGABYTE,
        gpu_memory=lends.get("gpu_memory", 0.0),
        differences=different,
        problem=problem,
    )


if __name__ == "__main__":
    main(sys.argv[1])
