"""Pictures whose left edge goes on where the right one ends, and whose top where the bottom does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

# Latents beyond each edge that a network in windows or tiles sees of the opposite edge: about as far as the VAE's
# convolutions reach.
MARGIN = 16


@contextmanager
def seamless(*networks: torch.nn.Module) -> Iterator[None]:
    """While this holds, the networks' convolutions see the opposite edge beyond each edge, instead of nothing."""
    convolutions = [
        module
        for network in networks
        for module in network.modules()
        if isinstance(module, torch.nn.Conv2d) and module.padding_mode == "zeros"
    ]
    for convolution in convolutions:
        convolution.padding_mode = "circular"
    try:
        yield
    finally:
        for convolution in convolutions:
            convolution.padding_mode = "zeros"


@contextmanager
def seamless_in_windows(unet: Any) -> Iterator[None]:
    """While this holds, a UNet that works in windows (see `unet_in_tiles`) has some that reach across the edges."""
    in_windows = unet.forward

    def forward(sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        margin = margin_of(sample)
        output = in_windows(wrapped(sample, margin), *args, **kwargs)
        return (trimmed(output[0], margin), *output[1:])

    unet.forward = forward
    try:
        yield
    finally:
        unet.forward = in_windows


def margin_of(latents: Tensor) -> int:
    """`MARGIN`, or less for latents that are smaller than it."""
    height, width = latents.shape[-2:]
    return min(MARGIN, height, width)


def wrapped(values: Tensor, margin: int) -> Tensor:
    """pictures × channels × height × width, with a margin at each edge that is taken from the opposite one."""
    return torch.nn.functional.pad(values, (margin,) * 4, mode="circular")


def trimmed(values: Tensor, margin: int) -> Tensor:
    """The inverse of `wrapped`."""
    return values[..., margin:-margin, margin:-margin]
