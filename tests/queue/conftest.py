"""Nothing here is to fail, or to take long, because the machine is busy with something else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture(autouse=True)
def _plain_logs() -> Iterator[None]:
    """The tracebacks of the misfortunes that are staged here, without the colours that take most of the time."""
    structlog.configure(
        processors=[structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)]
    )
    yield
    structlog.reset_defaults()
