"""How it stands in the moderator log that a job's pictures were blocked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ACTION = "safety.blocked"


def blocked_details(job_id: int, channel_id: int, score: float) -> Mapping[str, Any]:
    """The details of the entry; its target is the job's owner. `score` is the image classifier's, 0 to 1."""
    return {"job": job_id, "place": channel_id, "score": round(score, 3)}
