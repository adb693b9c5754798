"""What has to be the same on all nodes of a cluster: frames are pickled, and pictures shall not depend on the node."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SOURCES = Path(__file__).parent.parent


def own_versions() -> dict[str, str]:
    """Those of this process, by name. Limner's ends with a digest of its source: one number may name several states."""
    return {
        "Python": platform.python_version(),
        "Ray": _installed("ray"),
        "Limner": f"{_installed('limner')} ({_digest()})",
        # A build for the CPU and one for CUDA ("2.13.0+cu130") are the same version.
        "torch": _installed("torch").partition("+")[0],
    }


def differences(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str:
    """What differs, in words: "torch 2.12.0 (here 2.13.0), …"; '' for nothing."""
    return ", ".join(
        f"{name} {theirs.get(name, '?')} (here {own})" for name, own in ours.items() if theirs.get(name) != own
    )


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _digest() -> str:
    """Eight characters for all source files of `generation`."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*.py")):
        digest.update(f"{path.relative_to(SOURCES)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:8]
