"""What holds for all tests: none fails because the machine is busy with something else, none logs a secret.

Property tests try the same examples at each run, so that what a change breaks is told from what was always broken.
`FUZZ_TIMES=100 pytest` tries a hundred times as many, and others each time.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.log_watch import LogWatch

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
settings.register_profile(
    "any machine",
    max_examples=100 * TIMES,
    derandomize=TIMES == 1,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Watch what is logged."""
    config.pluginmanager.register(LogWatch(config))
