"""Says at the end of a run how many inputs were tried."""

from __future__ import annotations

import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def pillows_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading an upload sets Pillow's limit of the whole process: it is set back for other tests."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line, also where the tests ran in several processes."""
    tried = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, value in report.user_properties
        if name == "inputs_tried"
    ]
    if tried:
        terminalreporter.write_line(f"fuzzing tried {sum(tried):,} inputs on {len(tried)} targets")
