"""What a style does to a prompt, and `--stylize`: how strongly. Pure.

100 is the style as it is written, 0 is none at all. In between its words and LoRAs weigh less, in proportion; above,
they weigh more, up to `STRONGEST` at 1000, and so does the guidance.
"""

from __future__ import annotations

from dataclasses import replace

from generation.catalogue import Style
from generation.prompt_language import within
from generation.recipe import LoraUse

PLAIN = 100
MOST = 1000
# Words of more than one and a half times their weight begin to tear pictures apart, and so does as much guidance.
STRONGEST = 1.5
MAX_GUIDANCE_SCALE = 20.0
MAX_LORA_WEIGHT = 2.0


def strength_of(stylize: int | None) -> float:
    """By what the weights of a style are multiplied: 0 to `STRONGEST`."""
    if stylize is None:
        return 1.0
    if stylize <= PLAIN:
        return stylize / PLAIN
    return 1 + (STRONGEST - 1) * (stylize - PLAIN) / (MOST - PLAIN)


def styled_prompt(prompt: str, style: Style, strength: float) -> str:
    """The prompt in the style's template. Raises the errors of the prompt language."""
    return within(style.template, prompt, weight=strength)


def styled_negative_prompt(negative_prompt: str, style: Style, strength: float) -> str:
    """The person's words first, then the style's. Raises the errors of the prompt language."""
    joined = ", ".join(filter(None, ("{prompt}" if negative_prompt else "", style.negative_prompt)))
    return within(joined, negative_prompt, weight=strength)


def styled_loras(style: Style, strength: float) -> tuple[LoraUse, ...]:
    """The style's LoRAs."""
    return tuple(
        replace(lora, weight=max(-MAX_LORA_WEIGHT, min(lora.weight * strength, MAX_LORA_WEIGHT)))
        for lora in style.loras
    )


def styled_guidance_scale(guidance_scale: float, strength: float) -> float:
    """The model's guidance scale; more of it above a strength of 1, with a style or without."""
    return min(guidance_scale * max(1.0, strength), MAX_GUIDANCE_SCALE)
