"""The samplers that recipes may name; `generation/painter/schedulers.py` says what each is in diffusers."""

from __future__ import annotations

SAMPLER_NAMES = (
    "euler",
    "euler_a",
    "heun",
    "dpmpp_2m",
    "dpmpp_2m_karras",
    "dpmpp_sde",
    "ddim",
    "unipc",
    "lcm",
)
