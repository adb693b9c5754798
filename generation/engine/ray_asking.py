"""A question about a cluster, asked by a process of its own: what Ray reads and keeps there ends with the answer."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path

from generation.engine.ray_errors import ClusterUnreachable

ROOT = Path(__file__).parent.parent.parent


async def ask_apart(module: str, address: str, *, environment: Mapping[str, str], patience: float) -> str:
    """The last line that `python -m module address` prints.

    Raises `ClusterUnreachable` when it fails, with the last line of what it complained about, and when it takes longer
    than `patience` seconds. It is gone when this returns.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, address, cwd=ROOT, env=environment, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
    )
    try:
        answer, complaint = await asyncio.wait_for(process.communicate(), patience)
    except TimeoutError:
        raise ClusterUnreachable(address=address, detail=f"no answer within {patience:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        why = _last_line(complaint) or f"exit status {process.returncode}"
        raise ClusterUnreachable(address=address, detail=why)
    return _last_line(answer)


def _last_line(printed: bytes) -> str:
    return printed.decode(errors="replace").strip().rpartition("\n")[2]
