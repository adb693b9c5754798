"""What becomes of a picture that an image classifier has looked at. Pure; the classifier itself is the painter's.

A classifier gives each picture a score: how likely it shows what the community does not want, 0 to 1. The policy makes
a verdict of the scores of a job. Nothing is delivered on a guess: a picture without a score is not delivered at all.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass

from generation.errors import PictureUnchecked

# The error key of a job that ended because the verdict on its pictures was `BLOCK`.
PICTURE_BLOCKED = "picture_blocked"


class Verdict(enum.StrEnum):
    """What may be done with the pictures of a job, from the mildest to the strictest."""

    DELIVER = "deliver"
    SPOILER = "spoiler"  # delivered, but hidden until somebody clicks on them
    BLOCK = "block"  # never leave the queue: the job fails and its credits are given back


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyPolicy:
    """What happens from which score on. `age_restricted_action` holds in channels that Discord marks so."""

    threshold: float
    action: Verdict
    age_restricted_action: Verdict

    def verdict(self, scores: Sequence[float | None], *, age_restricted: bool) -> Verdict:
        """On all pictures of a job together: they are shown as one, so the highest score decides.

        Raises `PictureUnchecked` where one has no score, or one that is no number: the classifier did not look at it.
        """
        if highest(scores) < self.threshold:
            return Verdict.DELIVER
        return self._action(age_restricted)

    def shows_previews(self, *, age_restricted: bool, spoiler: bool) -> bool:
        """Whether a job's previews may be shown, which nobody has looked at.

        They may where the finished picture could not be hidden more than they are, whatever its score. `spoiler`: they
        are hidden until somebody clicks on them.
        """
        action = self._action(age_restricted)
        return action is Verdict.DELIVER or (action is Verdict.SPOILER and spoiler)

    def _action(self, age_restricted: bool) -> Verdict:
        return self.age_restricted_action if age_restricted else self.action


def highest(scores: Sequence[float | None]) -> float:
    """The score that decides. Raises `PictureUnchecked` unless there is a number for each picture, and a picture."""
    numbers = [score for score in scores if score is not None and not math.isnan(score)]
    if not numbers or len(numbers) < len(scores):
        raise PictureUnchecked(detail=f"{len(scores) - len(numbers)} of {len(scores)} pictures have no score")
    return max(numbers)
