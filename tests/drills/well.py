"""What all drills are asked."""

from __future__ import annotations

from bot.drills.verdict import Verdict


def assert_well(verdict: Verdict) -> None:
    """Nothing lost, nothing twice, no credit astray, and there was something to lose."""
    assert (verdict.lost, verdict.duplicated, verdict.credit_drift) == (0, 0, 0), verdict.details
    assert verdict.orders == verdict.done + verdict.failed + verdict.cancelled
    assert verdict.orders
