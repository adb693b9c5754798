"""What `doctor` says of the cluster, where one is configured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

from bot.config_sections import ClusterSection
from bot.findings import Finding, State
from generation.engine.ray_door import check_door
from generation.engine.ray_errors import ClusterUnusable, RayMissing
from generation.engine.ray_nodes import ClusterNode, look_at_nodes


async def examine_cluster(cluster: ClusterSection) -> list[Finding]:
    """Whether it lets us in and nobody else, what its nodes have, and whether that is enough. Nothing without one."""
    if not cluster.address:
        return []
    try:
        if find_spec("ray") is None:
            raise RayMissing
        await check_door(cluster.address)
        nodes = await look_at_nodes(cluster.address)
    except ClusterUnusable as error:
        return [_finding("todo", error.key, error.fields)]
    return [*map(_node, nodes), _room(cluster, nodes)]


def _node(node: ClusterNode) -> Finding:
    fields = {
        "node": node.address,
        "gpus": f"{node.gpus:g}",
        "cpus": f"{node.cpus:g}",
        "memory": f"{node.memory:.0f}",
        "gpu_memory": f"{node.gpu_memory:g}",
        "differences": node.differences,
        "problem": node.problem,
    }
    if node.differences:
        return _finding("todo", "cluster_versions_differ", fields)
    if node.problem:
        return _finding("todo", "cluster_node_silent", fields)
    return _finding("ok", "cluster_node", fields)


def _room(cluster: ClusterSection, nodes: Sequence[ClusterNode]) -> Finding:
    room = sum(node.room(cluster.settings()) for node in nodes)
    fields = {"workers": cluster.workers, "room": room}
    if room >= cluster.workers:
        return _finding("ok", "cluster_room", fields)
    return _finding("note" if room else "todo", "cluster_too_small", fields)


def _finding(state: State, key: str, fields: Mapping[str, object]) -> Finding:
    return Finding(topic="cluster", state=state, key=key, fields=fields)
