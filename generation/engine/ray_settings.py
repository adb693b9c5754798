"""How workers shall be placed on a Ray cluster. Read by whoever configures them; no Ray here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """`workers` actors on the cluster whose head is at `address` ("10.0.0.5:6379").

    Each takes from its node what it asks for, and Ray places it only where that much is free: `gpus_per_worker` GPUs (a
    fraction shares one, 0 paints on the CPU), `cpus_per_worker` cores, `memory_gigabytes` of the host's memory, and
    `gpu_memory_gigabytes` of what a node declares as its resource `gpu_memory`; 0 asks for none.
    """

    address: str
    workers: int = 1
    gpus_per_worker: float = 1.0
    cpus_per_worker: float = 1.0
    memory_gigabytes: float = 0.0
    gpu_memory_gigabytes: float = 0.0

    @property
    def device(self) -> str:
        """What a worker paints on; Ray shows it no GPU but its own."""
        return "cuda" if self.gpus_per_worker else "cpu"
