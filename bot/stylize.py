"""`--stylize`: how strongly a style acts. Pure.

100 is the style as it is written, 0 is none at all. In between its words and LoRAs weigh less, in proportion; above,
they weigh more, up to `STRONGEST` at 1000, and so does the guidance.
"""

from __future__ import annotations

from dataclasses import replace

from bot.flag_values import plain
from generation.catalogue import Style

PLAIN = 100
MOST = 1000
# Words of more than one and a half times their weight begin to tear pictures apart, and so does as much guidance.
STRONGEST = 1.5
MAX_GUIDANCE_SCALE = 20.0
MAX_LORA_WEIGHT = 2.0
_PUNCTUATION = " ,.;"


def stylized(style: Style | None, stylize: int | None) -> Style | None:
    """The style with weights on its words and LoRAs; None where nothing is left of it."""
    if style is None or stylize == 0:
        return None
    factor = _factor(PLAIN if stylize is None else stylize)
    if factor == 1:
        return style
    before, after = style.template.split("{prompt}")
    loras = tuple(replace(lora, weight=_within(lora.weight * factor, MAX_LORA_WEIGHT)) for lora in style.loras)
    return replace(
        style,
        template=f"{_weighted(before, factor)}{{prompt}}{_weighted(after, factor)}",
        negative_prompt=_weighted(style.negative_prompt, factor),
        loras=loras,
    )


def stylized_guidance(guidance_scale: float, stylize: int | None) -> float:
    """The model's guidance scale, more of it above 100."""
    return min(guidance_scale * max(1.0, _factor(PLAIN if stylize is None else stylize)), MAX_GUIDANCE_SCALE)


def _factor(stylize: int) -> float:
    if stylize <= PLAIN:
        return stylize / PLAIN
    return 1 + (STRONGEST - 1) * (stylize - PLAIN) / (MOST - PLAIN)


def _weighted(words: str, factor: float) -> str:
    """`, soft light` → `, (soft light:0.5)`: the weight is the words', not that of what joins them to the prompt."""
    core = words.strip(_PUNCTUATION)
    return words.replace(core, f"({core}:{plain(round(factor, 3))})") if core else words


def _within(weight: float, limit: float) -> float:
    return max(-limit, min(weight, limit))
