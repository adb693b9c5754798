"""What a node has room for, and which versions keep it from drawing: without a cluster."""

from __future__ import annotations

import pytest

from generation.engine.ray_nodes import ClusterNode
from generation.engine.ray_settings import ClusterSettings
from generation.engine.ray_versions import differences, own_versions

NODE = ClusterNode(address="10.0.0.6", gpus=2, cpus=16, memory=64, gpu_memory=48)


@pytest.mark.parametrize(
    ("asked", "room"),
    [
        ({}, 2),
        ({"gpus_per_worker": 0.5}, 4),
        ({"gpus_per_worker": 0.1, "cpus_per_worker": 0}, 20),
        ({"gpus_per_worker": 0}, 16),
        ({"memory_gigabytes": 40}, 1),
        ({"memory_gigabytes": 65}, 0),
        ({"gpus_per_worker": 0.5, "gpu_memory_gigabytes": 16}, 3),
        ({"gpus_per_worker": 0, "cpus_per_worker": 0}, 8),
    ],
)
def test_a_node_holds_as_many_workers_as_its_scarcest_thing(asked: dict[str, float], room: int) -> None:
    cluster = ClusterSettings(**{"address": "10.0.0.5:6379", "workers": 8, **asked})  # type: ignore[arg-type]
    assert NODE.room(cluster) == room


def test_a_node_that_differs_holds_none() -> None:
    cluster = ClusterSettings(address="10.0.0.5:6379", gpus_per_worker=0)
    node = ClusterNode(address="10.0.0.6", gpus=0, cpus=4, memory=64, gpu_memory=0, differences="torch 2.12.0")
    assert node.room(cluster) == 0


def test_differences_are_named_with_both_sides() -> None:
    ours = own_versions()
    assert set(ours) == {"Python", "Ray", "Limner", "torch"}
    assert "+" not in ours["torch"]  # one build for the CPU here, one for CUDA there
    assert differences(ours, ours) == ""
    assert differences({**ours, "torch": "2.12.0"}, ours) == f"torch 2.12.0 (here {ours['torch']})"
    assert differences({}, {"Ray": "2.60.0"}) == "Ray ? (here 2.60.0)"
