"""Why Limner does not work on a cluster."""

from __future__ import annotations

from generation.errors import LimnerError


class ClusterUnusable(LimnerError):
    """There is something about a Ray cluster that has to be put right before Limner starts on it."""

    key = "cluster_unusable"


class RayMissing(ClusterUnusable):
    """A cluster is configured, and Ray is not installed."""

    key = "ray_missing"


class ClusterUnreachable(ClusterUnusable):
    """No cluster answers there, or this machine is no node of it. Fields: `address`, `detail`."""

    key = "cluster_unreachable"


class ClusterOpen(ClusterUnusable):
    """The cluster asks nobody for a token, so whoever reaches it can run programs on it. Fields: `address`."""

    key = "cluster_open"


class ClusterTokenRefused(ClusterUnusable):
    """The cluster asks for a token, and this program has none or another one. Fields: `address`."""

    key = "cluster_token_refused"


class ClusterVersionsDiffer(ClusterUnusable):
    """A node has other versions than this program. Fields: `node`, `differences`."""

    key = "cluster_versions_differ"
