"""Which of PyTorch's attention kernels is to be used.

diffusers' own switch (`set_attention_backend`) does nothing for SDXL's UNet, whose attention calls PyTorch directly; so
it is PyTorch that is told.
"""

from __future__ import annotations

import torch
from torch.nn.attention import SDPBackend

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


def prefer_attention(kernel: AttentionKernel) -> None:
    """From now on this process tries that kernel first; "auto" leaves the choice as it is.

    What `sdpa_kernel(…, set_priority=True)` does for the time of a block, for good: the order is the whole process's,
    and one batch may be decoded in one thread while the next is denoised in another, so that a block in the one would
    show in the other. Where a kernel does not take a shape (the VAE's head of 512), the next is tried.
    """
    if kernel == "auto":
        return
    order = [int(backend) for backend in kernel_order(kernel)]  # type: ignore[call-overload]
    # PyTorch knows more than have names here, and wants all of them.
    torch._C._set_sdp_priority_order(order + [one for one in torch._C._get_sdp_priority_order() if one not in order])
