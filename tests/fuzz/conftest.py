"""Says at the end of a run how many inputs were tried."""

from __future__ import annotations

import pytest


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
