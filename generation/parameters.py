"""Generation parameters as AUTOMATIC1111's WebUI writes them into picture files: written, and read back.

The text: the prompt (any number of lines), `Negative prompt: …`, and a last line of `Key: value` pairs between commas,
which begins with `Steps: `; values that hold a separator themselves are JSON strings. Other tools write it too, so what
is read here is shown to people and decides nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

from generation.recipe import Recipe
from generation.samplers import SAMPLERS

_NEGATIVE = "Negative prompt:"
_SETTINGS = "Steps: "
# Names are short: a bound on them keeps the search linear.
_PAIR = re.compile(r'([\w \-/]{1,60}): ?("(?:\\.|[^\\"])*"|[^,]*)(?:,|$)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """What the text tells: prompts, and the settings by their names in the WebUI ("Steps", "Sampler", "Seed", …)."""

    prompt: str
    negative_prompt: str
    settings: Mapping[str, str]


def parameters_text(recipe: Recipe, *, sampler: str | None = None) -> str:
    """The recipe as the WebUI writes it: prompt with LoRAs, negative prompt, then one line of `Key: value` pairs."""
    loras = "".join(f" <lora:{lora.name}:{lora.weight:g}>" for lora in recipe.loras)
    lines = [f"{recipe.prompt}{loras}"]
    if recipe.negative_prompt:
        lines.append(f"Negative prompt: {recipe.negative_prompt}")
    sampler = recipe.scheduler or sampler
    settings = {
        "Steps": recipe.num_inference_steps,
        "Sampler": SAMPLERS[sampler].webui if sampler in SAMPLERS else sampler,
        "CFG scale": f"{recipe.guidance_scale:g}",
        "Seed": recipe.seed,
        "Size": f"{recipe.width}x{recipe.height}",
        "Model": recipe.model,
        **_second_pass(recipe),
        **_ours(recipe),
        "Version": "Limner",
    }
    lines.append(", ".join(f"{key}: {_quoted(str(value))}" for key, value in settings.items() if value is not None))
    return "\n".join(lines)


def _quoted(value: str) -> str:
    """The WebUI quotes values that hold its own separators; so are those here that some take for an end of line."""
    return json.dumps(value, ensure_ascii=False) if re.search(r'[,:"]', value) or not value.isprintable() else value


def _second_pass(recipe: Recipe) -> dict[str, object]:
    """What is painted on, and a refiner, by the WebUI's names."""
    told: dict[str, object] = {}
    if recipe.source is not None:
        told["Denoising strength"] = f"{recipe.source.strength:g}"
    if recipe.hires is not None:
        told["Denoising strength"] = f"{recipe.hires.strength:g}"
        told["Hires upscale"] = f"{recipe.width / recipe.hires.width:.4g}"
    if recipe.refine:
        told["Refiner switch at"] = f"{1 - recipe.refine:.4g}"
    if recipe.tile:
        told["Tiling"] = True
    return told


def _ours(recipe: Recipe) -> dict[str, object]:
    """What the WebUI has no name for."""
    told: dict[str, object] = {}
    if recipe.mask is not None:
        told["Mask"] = recipe.mask.words or "a picture"
    if recipe.source is not None and recipe.source.frame is not None:
        frame = recipe.source.frame
        told["Frame"] = f"{frame.width}x{frame.height}+{frame.x}+{frame.y}"
    if recipe.shared_seed is not None and recipe.shared_noise:
        told |= {"Shared seed": recipe.shared_seed, "Shared noise": f"{recipe.shared_noise:g}"}
    if recipe.weird:
        told["Weird"] = recipe.weird
    if recipe.stop < 1:
        told["Stop at"] = f"{recipe.stop:g}"
    if recipe.embeddings:
        told["Embeddings"] = ", ".join(recipe.embeddings)
    return told


def parse_parameters(text: str) -> Parameters | None:
    """None where the text has no line of settings: then it is no such text. Raises nothing."""
    # Not `splitlines`, which also splits at characters that prompts may hold.
    lines = text.strip().replace("\r\n", "\n").split("\n")
    if not lines[-1].startswith(_SETTINGS):
        return None
    settings = {match[1].strip(): _unquoted(match[2].strip()) for match in _PAIR.finditer(lines[-1])}
    negative_at = next((index for index, line in enumerate(lines) if line.startswith(_NEGATIVE)), len(lines) - 1)
    negative = "\n".join(lines[negative_at:-1]).removeprefix(_NEGATIVE)
    return Parameters(
        prompt="\n".join(lines[:negative_at]).strip(), negative_prompt=negative.strip(), settings=settings
    )


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value
