"""A guidance scale for each picture of a pass, where diffusers takes one for all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class GuidanceScales:
    """In a pipeline's `guidance_scale`: compared as a number, and multiplied with what guides each picture.

    All of them guide (are above 1): a pass with guidance predicts twice as much as one without.
    """

    def __init__(self, scales: Sequence[float]) -> None:
        self._least = min(scales)
        self._scales = torch.tensor(scales)

    def __gt__(self, other: float) -> bool:
        return self._least > other

    def __mul__(self, guidance: Tensor) -> Tensor:
        """`guidance` is pictures × channels × height × width. Rounded once, as the product with a number is."""
        self._scales = self._scales.to(guidance.device)
        return (guidance.float() * self._scales.view(-1, 1, 1, 1)).to(guidance.dtype)


def scales_of(pictures: Sequence[float]) -> float | GuidanceScales:
    """What to pass to a pipeline for pictures with these scales: where all are equal, just that."""
    return pictures[0] if len(set(pictures)) == 1 else GuidanceScales(pictures)
