"""Questions that a process of its own asks: with a program of the tests in Ray's place."""

from __future__ import annotations

import contextlib
import os

import psutil
import pytest

from generation.engine.ray_asking import ask_apart
from generation.engine.ray_errors import ClusterUnreachable

ASKED = "tests.engine.answering"
SOON = 120.0  # seconds, on a busy machine


async def test_the_last_line_is_the_answer_and_the_environment_is_what_was_given() -> None:
    environment = {**os.environ, "ANSWER": "yes, 3 nodes"}
    assert await ask_apart(ASKED, "answer", environment=environment, patience=SOON) == "yes, 3 nodes"


@pytest.mark.parametrize(
    ("address", "patience", "detail"),
    [
        ("fail", SOON, "ValueError: no such cluster"),
        ("vanish", SOON, "exit status 3"),
        ("hang", 0.5, "no answer within 0.5 s"),
    ],
)
async def test_no_answer_is_told_with_its_reason_and_leaves_no_process(
    address: str, patience: float, detail: str
) -> None:
    with pytest.raises(ClusterUnreachable) as raised:
        await ask_apart(ASKED, address, environment=os.environ, patience=patience)
    assert raised.value.fields == {"address": address, "detail": detail}
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):  # of another test's, gone in this moment
            assert ASKED not in child.cmdline()
