"""What makes a UNet faster than it is loaded: memory format, attention kernel, compiling, eight bits.

All of it is off by default. Each moves pixels a little, by the order in which numbers are summed or by rounding, so a
server decides about it once: a picture drawn again under other settings of these is alike, and not the same to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from generation.catalogue import ModelSpec
from generation.engine.settings import AttentionKernel, Compile, PainterSettings
from generation.errors import SettingRefused
from generation.painter.attention import prefer_attention
from generation.painter.compiling import Bounds, compile_blocks, compile_unet, keep_compiled_in
from generation.painter.precision import check_fp8, to_fp8


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceleration:
    """The settings of that name, as `PainterSettings` explains them."""

    channels_last: bool = False
    attention: AttentionKernel = "auto"
    compile: Compile = "off"
    compile_folder: str = ""
    fp8: bool = False


def choose_acceleration(settings: PainterSettings, device: torch.device, dtype: torch.dtype) -> Acceleration:
    """What the settings ask for. Raises `SettingRefused` for what this device cannot do, or not with other settings."""
    whole_on_device = settings.vram == "full" or device.type == "cpu"
    for name, asked in (("compile", settings.compile != "off"), ("fp8", settings.fp8)):
        if asked and not whole_on_device:
            raise SettingRefused(setting=name, reason="it needs vram = full, which keeps the whole model on the device")
    if settings.fp8:
        check_fp8(device, dtype)
    if settings.compile == "graphs" and device.type != "cuda":
        raise SettingRefused(setting="compile", reason=f"graphs are CUDA's, and this worker draws on {device.type}")
    return Acceleration(
        channels_last=settings.channels_last,
        attention=settings.attention,
        compile=settings.compile,
        compile_folder=settings.compile_folder,
        fp8=settings.fp8,
    )


def accelerate(unet: Any, spec: ModelSpec, acceleration: Acceleration) -> None:
    """Make a UNet of that model faster, in place; its weights stay where they are.

    To be called once, in its number format, and on its device unless parts of it are moved there later. Compiling
    itself happens when a picture needs it. The attention kernel, and where compiled ones are kept, are the process's.
    """
    prefer_attention(acceleration.attention)
    if acceleration.compile != "off" and acceleration.compile_folder:
        keep_compiled_in(acceleration.compile_folder)
    if acceleration.channels_last:
        unet.to(memory_format=torch.channels_last)
    if acceleration.fp8:
        to_fp8(unet)
    if acceleration.compile == "blocks":
        compile_blocks(unet)
    elif acceleration.compile != "off":
        compile_unet(unet, Bounds.of(spec), cuda_graphs=acceleration.compile == "graphs")
