"""Where the painter works and in which number format, chosen by the hardware unless the settings name it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from generation.engine.settings import PainterSettings, Vram
from generation.errors import ModelUnavailable, OutOfMemory
from generation.painter.acceleration import Acceleration, choose_acceleration

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Device and number format of the weights, and how they are worked with.

    `vram` says how much of the model stays on the device: all of it, the part that works (`medium`), or one layer at a
    time (`low`). It is `full` on the CPU, where there is nothing to save. `vae_dtype` is the VAE's own number format;
    None: `dtype`, or float32 where its configuration says that it overflows. `guided_share` is how much of a picture's
    steps is guided (see `guidance.py`).
    """

    device: torch.device
    dtype: torch.dtype
    vram: Vram
    vae_dtype: torch.dtype | None = None
    guided_share: float = 1.0
    acceleration: Acceleration = field(default_factory=Acceleration)


def choose_placement(settings: PainterSettings) -> Placement:
    """The placement that the settings ask for.

    Raises `ModelUnavailable` for a device that this machine lacks, `SettingRefused` for what the device cannot do.
    """
    device = _device(settings.device)
    dtype = _default_dtype(device) if settings.dtype == "auto" else _DTYPES[settings.dtype]
    return Placement(
        device=device,
        dtype=dtype,
        vram="full" if device.type == "cpu" else settings.vram,
        vae_dtype=None if settings.vae_dtype == "auto" else _DTYPES[settings.vae_dtype],
        guided_share=settings.guided_share,
        acceleration=choose_acceleration(settings, device, dtype),
    )


def free_memory(device: torch.device) -> None:
    """Give cached memory back to the device, after weights or a failed batch were dropped."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch raised for lack of memory: CUDA has a class for it, MPS and the CPU only say so."""
    text = str(error)
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "MPS backend out of memory" in text
        or "can't allocate memory" in text
    )


@contextmanager
def out_of_memory_told() -> Iterator[None]:
    """Turns torch's ways of saying that memory ran out into `OutOfMemory`."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise OutOfMemory(detail=str(error).partition("\n")[0]) from error
        raise


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    present = {
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if not present.get(device.type, False):
        raise ModelUnavailable(name=name, reason=f"this machine has no device {name} that PyTorch can use")
    return device


def _default_dtype(device: torch.device) -> torch.dtype:
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float16
