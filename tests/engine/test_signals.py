"""Signals that mean the whole program: the workers leave them to their parent, from the first moment on."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from generation.engine.protocol import WorkerState
from tests.engine.local_engines import SOON, children, local_engine, until

# Python imports a module of this name, if there is one, before anything of ours.
HIT_AT_ONCE = """
import os, signal, sys

if "generation.engine.worker" in sys.orig_argv:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(os.getpid(), number)
"""


async def test_a_worker_that_is_only_beginning_outlives_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text(HIT_AT_ONCE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    async with asyncio.timeout(SOON), local_engine() as engine:
        await until(lambda: engine.workers()[0].state in (WorkerState.IDLE, WorkerState.DEAD))
        assert (engine.workers()[0].state, engine.workers()[0].restarts) == (WorkerState.IDLE, 0)
        assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before
        # They are not kept waiting there, nor in what a painter starts.
        (pid,) = children()
        assert blocked_in(pid) == 0


def blocked_in(pid: int) -> int:
    """The signals that a process keeps waiting, a bit for each."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigBlk:")]
    return int(mask, 16)
