"""How fast each attention kernel is on the shape that most of SDXL's attention has."""

from __future__ import annotations

import time
from typing import get_args

import torch
from torch.nn.attention import sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from generation.engine.settings import AttentionKernel
from generation.painter.attention import kernel_order
from generation.painter.bench_gpu.limits import synchronize
from generation.painter.bench_gpu.random_model import HEAD, Size

CALLS = 20


def time_attention(size: Size, device: torch.device, dtype: torch.dtype) -> dict[AttentionKernel, float | None]:
    """Milliseconds of one call of each kernel, for a guided picture; None for those that do not take it."""
    heads, tokens = size.channels[1] // HEAD, (size.native_size // 16) ** 2
    query, key, value = (torch.randn(2, heads, tokens, HEAD, device=device, dtype=dtype) for _ in range(3))
    times: dict[AttentionKernel, float | None] = {}
    for kernel in get_args(AttentionKernel):
        if kernel == "auto":
            continue
        try:
            with sdpa_kernel(kernel_order(kernel)[0]):
                scaled_dot_product_attention(query, key, value)
                synchronize(device)
                started = time.perf_counter()
                for _ in range(CALLS):
                    scaled_dot_product_attention(query, key, value)
                synchronize(device)
        except RuntimeError:  # this device, or this build, has none for it
            times[kernel] = None
        else:
            times[kernel] = (time.perf_counter() - started) / CALLS * 1000
    return times


def fastest(times: dict[AttentionKernel, float | None]) -> AttentionKernel:
    """The kernel with the least time."""
    known: dict[AttentionKernel, float] = {kernel: time for kernel, time in times.items() if time is not None}
    return min(known, key=lambda kernel: known[kernel]) if known else "auto"
