"""What the hardware allows: the work of a picture, counted, over the rate of matrix products, measured.

The work is counted by running the networks without data (1 multiplication with its addition = 2 operations). Of SDXL at
1024 × 1024 that is 6.76 TFLOP for the UNet, 10.47 for the VAE's decoder, 0.11 for the text encoders.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from generation.painter.bench_gpu.random_model import (
    CHUNK,
    TIME_IDS,
    Size,
    build_text_encoders,
    build_tokenizer,
    build_unet,
    build_vae,
)

MATRIX_SECONDS = 1.0  # of measuring, for a rate that does not begin in a cold state
LINEAR = ("aten.mm", "aten.addmm")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Operations of one picture of native size: `unet` for one row of a step, of them `linear` in linear layers."""

    unet: float
    linear: float
    decoder: float
    texts: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The least that the device could take. Rates: operations a second; `eight_bits` is None where it has none."""

    work: Work
    rate: float
    eight_bits: float | None

    def step_seconds(self, *, rows: int = 2, fp8: bool = False) -> float:
        """One step of one picture: two rows with guidance, one without."""
        linear_rate = self.eight_bits if fp8 and self.eight_bits else self.rate
        return rows * (self.work.linear / linear_rate + (self.work.unet - self.work.linear) / self.rate)

    def picture_seconds(self, steps: int, *, rows: int = 2, fp8: bool = False) -> float:
        """One picture from its prompt to its pixels."""
        rest = (self.work.decoder + self.work.texts) / self.rate
        return steps * self.step_seconds(rows=rows, fp8=fp8) + rest


def count_work(size: Size) -> Work:
    """The operations of a model of that size; no weights are made for it."""
    side = size.native_size // 8
    tokenizer = build_tokenizer()
    with torch.device("meta"), torch.inference_mode():
        unet, vae, texts = build_unet(size), build_vae(size), build_text_encoders(size, tokenizer)
        latents = torch.empty(1, 4, side, side)
        conditions = {
            "text_embeds": torch.empty(1, size.pooled_width),
            "time_ids": torch.empty(1, TIME_IDS),
        }
        with FlopCounterMode(display=False) as counter:
            unet(
                latents,
                torch.tensor(1.0),
                encoder_hidden_states=torch.empty(1, CHUNK, size.text_width),
                added_cond_kwargs=conditions,
            )
        counts = counter.get_flop_counts()["Global"]
        linear = sum(count for operation, count in counts.items() if str(operation) in LINEAR)
        return Work(
            unet=float(counter.get_total_flops()),
            linear=float(linear),
            decoder=_operations(lambda: vae.decode(latents)),
            texts=sum(_text_operations(text) for text in texts),
        )


def matrix_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of large matrix products in that number format."""
    side = 8192 if device.type == "cuda" else 512
    one, other = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return _rate(lambda: one @ other, side, device)


def eight_bit_rate(device: torch.device) -> float | None:
    """The same of fp8 with a scale for each row, or None where the device does not multiply so."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 9):
        return None
    side = 8192
    one, other = (torch.randn(side, side, device=device).to(torch.float8_e4m3fn) for _ in range(2))
    scales = torch.ones(side, 1, device=device)

    def multiply() -> Any:
        return torch._scaled_mm(
            one, other.t(), scale_a=scales, scale_b=scales.t(), out_dtype=torch.bfloat16, use_fast_accum=True
        )

    return _rate(multiply, side, device)


def synchronize(device: torch.device) -> None:
    """Wait for what the device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _rate(multiply: Any, side: int, device: torch.device) -> float:
    for _ in range(3):
        multiply()
    synchronize(device)
    products, started = 0, time.perf_counter()
    while time.perf_counter() - started < MATRIX_SECONDS:
        for _ in range(8):
            multiply()
        synchronize(device)
        products += 8
    return products * 2 * float(side) ** 3 / (time.perf_counter() - started)


def _operations(run: Any) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def _text_operations(encoder: Any) -> float:
    """Counted by hand, since it looks at data to make its mask: two operations a weight and token, and attention."""
    linear = sum(module.weight.numel() for module in encoder.modules() if isinstance(module, torch.nn.Linear))
    config = encoder.config
    return float(2 * CHUNK * linear + 4 * CHUNK**2 * config.hidden_size * config.num_hidden_layers)
