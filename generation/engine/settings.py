"""How a painter shall use its device. Read by the worker process and by whoever configures it; no torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Dtype: TypeAlias = Literal["auto", "float32", "float16", "bfloat16"]
Vram: TypeAlias = Literal["full", "medium", "low"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PainterSettings:
    """One painter on one device.

    `device` is "auto" (the best that the machine has), "cuda", "cuda:1", "mps" or "cpu"; `dtype` "auto" is what suits
    it. `vram` "full" keeps everything on the device, "medium" only the model at work, "low" only the layer at work.
    `preview_every` is in denoising steps, 0 for no previews. `threads` is for CPU kernels, None for torch's own choice.
    """

    device: str = "auto"
    dtype: Dtype = "auto"
    vram: Vram = "full"
    preview_every: int = 1
    threads: int | None = None
