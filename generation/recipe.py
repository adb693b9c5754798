"""The recipe: everything that decides the pixels of one picture."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from generation.errors import InvalidRecipe

MAX_SEED = 2**32 - 1
MAX_LORAS = 4
MAX_STEPS = 100  # what a recipe may hold at all; a server's own limit (60 as shipped) is lower
MAX_SIDE = 8192  # the longest side of any picture that we draw, in pixels
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraUse:
    """One LoRA by its name in the catalogue and its weight, −2 to 2; 0 changes nothing."""

    name: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        _text("lora", self.name)
        object.__setattr__(self, "weight", _number("lora weight", self.weight, -2, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The stored picture that a recipe starts from.

    `digest` is the SHA-256 (hex) of the stored file's bytes, so that a recipe names its source by content; `strength`
    is how far to move from it: 0 gives it back (resized), 1 keeps nothing.
    """

    digest: str
    strength: float

    def __post_init__(self) -> None:
        _text("source", self.digest)
        object.__setattr__(self, "strength", _number("strength", self.strength, 0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All generation parameters of one picture. Same recipe and same weights give the same picture.

    `width` and `height` are in pixels and multiples of 8; `seed` is 0 to 2³²−1; `num_inference_steps` is counted before
    `source.strength` cuts it; `guidance_scale` is 1 to 20; `scheduler` None is the model's own. Prompts are final:
    style template and trigger words are already in them. Raises `InvalidRecipe` for a value out of its range.
    """

    prompt: str
    model: str
    width: int
    height: int
    seed: int
    num_inference_steps: int
    guidance_scale: float
    negative_prompt: str = ""
    scheduler: str | None = None
    loras: tuple[LoraUse, ...] = ()
    source: Source | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "negative_prompt", "model"):
            _text(name, getattr(self, name))
        if self.scheduler is not None:
            _text("scheduler", self.scheduler)
        for name in ("width", "height"):
            side = getattr(self, name)
            _whole(name, side, 8, MAX_SIDE)
            if side % 8:
                raise InvalidRecipe(name=name, value=side, allowed="a multiple of 8")
        _whole("seed", self.seed, 0, MAX_SEED)
        _whole("steps", self.num_inference_steps, 1, MAX_STEPS)
        object.__setattr__(self, "guidance_scale", _number("cfg", self.guidance_scale, 1, 20))
        if len(self.loras) > MAX_LORAS:
            raise InvalidRecipe(name="lora", value=len(self.loras), allowed=f"at most {MAX_LORAS}")

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON-ready values, with a format version. Fields at their defaults are left out."""
        fields: dict[str, Any] = {"version": FORMAT_VERSION}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            if field.name == "loras":
                value = [dataclasses.asdict(lora) for lora in value]
            elif field.name == "source":
                value = dataclasses.asdict(value)
            fields[field.name] = value
        return fields

    def to_json(self) -> str:
        """The canonical form: sorted keys, no spaces, no NaN. Equal recipes have equal canonical JSON."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Recipe:
        """The inverse of `to_dict`. Raises `InvalidRecipe` for anything that is not such a dictionary."""
        values = dict(fields)
        version = values.pop("version", None)
        if version != FORMAT_VERSION:
            raise InvalidRecipe(name="version", value=version, allowed=str(FORMAT_VERSION))
        try:
            if "loras" in values:
                values["loras"] = tuple(LoraUse(**lora) for lora in values["loras"])
            if values.get("source") is not None:
                values["source"] = Source(**values["source"])
            return cls(**values)
        except (TypeError, AttributeError) as error:
            raise InvalidRecipe(name="recipe", value=str(error), allowed="the fields of a recipe") from error

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """The inverse of `to_json`. Raises `InvalidRecipe`."""
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidRecipe(name="recipe", value=text[:80], allowed="JSON") from error
        if not isinstance(fields, dict):
            raise InvalidRecipe(name="recipe", value=text[:80], allowed="a JSON object")
        return cls.from_dict(fields)

    @property
    def steps_to_run(self) -> int:
        """Denoising steps that really run: image to image skips the first ones (as diffusers counts them)."""
        if self.source is None:
            return self.num_inference_steps
        return min(int(self.num_inference_steps * self.source.strength), self.num_inference_steps)

    def batch_key(self) -> Hashable:
        """What recipes must have in common to share a forward pass.

        Only prompts, seed and the source's content differ from picture to picture; every other field, also one that is
        added later, is part of the key.
        """
        shared = tuple(
            getattr(self, field.name) for field in dataclasses.fields(self) if field.name not in PER_PICTURE_FIELDS
        )
        return (*shared, None if self.source is None else self.source.strength)

    def work(self, *, native_size: int, default_steps: int) -> float:
        """The work of this picture in units of one `native_size`² picture at `default_steps` steps."""
        area = self.width * self.height / native_size**2
        return area * self.steps_to_run / default_steps

    def cost(self, *, native_size: int, default_steps: int) -> int:
        """Credits: the work rounded to the nearest whole number, at least 1."""
        return max(1, math.floor(self.work(native_size=native_size, default_steps=default_steps) + 0.5))


PER_PICTURE_FIELDS = frozenset({"prompt", "negative_prompt", "seed", "source"})


def _number(name: str, value: float, low: float, high: float) -> float:
    """As a float, and 0 without a sign: JSON writes 5 unlike 5.0, but equal recipes shall have equal canonical JSON."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidRecipe(name=name, value=value, allowed=f"{low} to {high}")
    return float(value) + 0.0


def _whole(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidRecipe(name=name, value=value, allowed=f"a whole number from {low} to {high}")


def _text(name: str, value: str) -> None:
    """A string that can be stored: half of a surrogate pair cannot be written as UTF-8."""
    if not isinstance(value, str) or any("\ud800" <= character <= "\udfff" for character in value):
        raise InvalidRecipe(name=name, value=value, allowed="text")
