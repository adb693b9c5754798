"""Limits of a server on what is drawn: steps and size. Jobs are counted where they are ordered (`storage/jobs.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from generation.errors import RequestRejected

if TYPE_CHECKING:
    from generation.job import NewJob
    from storage.guild_rules import GuildRules

MEGAPIXEL = 1_000_000  # pixels


class TooManyStepsHere(RequestRejected):
    """A picture would take more steps than this server allows. Fields: `steps`, `limit`."""

    key = "too_many_steps_here"


class TooLargeHere(RequestRejected):
    """A picture would be larger than this server allows. Fields: `width`, `height`, `limit` (megapixels)."""

    key = "too_large_here"


def check_limits(rules: GuildRules, new: Sequence[NewJob]) -> None:
    """Raises `TooManyStepsHere` or `TooLargeHere` for the first picture that breaks a limit."""
    for recipe in (recipe for job in new for recipe in job.recipes):
        if rules.steps is not None and recipe.num_inference_steps > rules.steps:
            raise TooManyStepsHere(steps=recipe.num_inference_steps, limit=rules.steps)
        if rules.megapixels is not None and recipe.width * recipe.height > rules.megapixels * MEGAPIXEL:
            raise TooLargeHere(width=recipe.width, height=recipe.height, limit=f"{rules.megapixels:g}")
