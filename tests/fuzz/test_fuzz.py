"""Each target with inputs that nobody means well with.

`FUZZ_TIMES=100 pytest tests/fuzz` tries a hundred times as many, and `python -m tests.fuzz` looks for more with
the coverage of our code (extra `fuzz`). How many were tried stands at the end of the run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_it_holds(target: Target, record_property: Callable[[str, object], None]) -> None:
    tried = 0

    @settings(
        max_examples=TIMES * target.examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(target.inputs)
    def holds(case: Any) -> None:
        nonlocal tried
        tried += 1
        target.check(case)

    holds()
    record_property("inputs_tried", tried)
