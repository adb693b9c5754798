"""What holds for all tests: none fails because the machine is busy with something else, none logs a secret."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests.log_watch import LogWatch

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Watch what is logged."""
    config.pluginmanager.register(LogWatch(config))
