"""Which of PyTorch's attention kernels a UNet is to use.

diffusers' own switch (`set_attention_backend`) does nothing for SDXL's UNet, whose attention calls PyTorch directly; so
it is PyTorch that is told, while the UNet runs.
"""

from __future__ import annotations

from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel

from generation.engine.settings import AttentionKernel

_BACKENDS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}


def kernel_order(kernel: AttentionKernel) -> list[SDPBackend]:
    """The kernels in the order in which they are tried: the named one first. No device has all for every shape."""
    first = _BACKENDS[kernel]
    return [first, *(backend for backend in _BACKENDS.values() if backend is not first)]


def prefer_attention(unet: Any, kernel: AttentionKernel) -> None:
    """From now on `unet` tries that kernel first; "auto" leaves the choice to PyTorch.

    Around the UNet alone: the VAE's attention has a head of 512, which few kernels take. To be called after what is
    compiled was wrapped, because a compiled graph keeps the kernel that was preferred while it was made.
    """
    if kernel == "auto":
        return
    forward = unet.forward
    order = kernel_order(kernel)

    def preferring(*args: Any, **kwargs: Any) -> Any:
        with sdpa_kernel(order, set_priority=True):
            return forward(*args, **kwargs)

    unet.forward = preferring
