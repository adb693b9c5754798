"""The recipe: everything that decides the pixels of one picture."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from generation.errors import InvalidRecipe
from generation.tiles import painted_area

MAX_SEED = 2**32 - 1
MAX_LORAS = 4
MAX_STEPS = 240  # what a recipe may hold at all: a server's own limit (60 as shipped) times the largest `--quality`
MAX_WEIRD = 3000
MIN_STOP = 0.1
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
class Frame:
    """Where a source stands inside a larger picture: its upper left corner and its size there, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def __post_init__(self) -> None:
        for name, low in (("x", 0), ("y", 0), ("width", 1), ("height", 1)):
            _whole(f"frame {name}", getattr(self, name), low, MAX_SIDE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The stored picture that a recipe starts from.

    `digest` is the SHA-256 (hex) of the stored file's bytes, so that a recipe names its source by content; `strength`
    is how far to move from it: 0 gives it back (resized), 1 keeps nothing. Without a `frame` it fills the picture; with
    one it stands there, its pixels are kept, and what is around it is painted anew (with `strength`).
    `super_resolution` scales it with the server's super-resolution network, where the picture is larger than it.
    """

    digest: str
    strength: float
    frame: Frame | None = None
    super_resolution: bool = False

    def __post_init__(self) -> None:
        _text("source", self.digest)
        object.__setattr__(self, "strength", _number("strength", self.strength, 0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """Which part of the source is painted anew; the pixels of all else are the source's own.

    Either a stored picture named by its `digest` (SHA-256, hex), of the source's shape: white is painted anew, black is
    kept. Or `words` for what is to be found in the source and painted anew ("the boat").
    """

    digest: str | None = None
    words: str | None = None

    def __post_init__(self) -> None:
        if (self.digest is None) == (self.words is None) or "" in (self.digest, self.words):
            raise InvalidRecipe(name="mask", value=self.digest, allowed="either a picture or words")
        _text("mask", self.digest or self.words or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hires:
    """A first pass at this smaller size (in pixels, multiples of 8), whose picture is then scaled up and painted on.

    `strength` is how far the second pass moves from the first, 0 to 1.
    """

    width: int
    height: int
    strength: float

    def __post_init__(self) -> None:
        for name in ("width", "height"):
            _side(f"hires {name}", getattr(self, name))
        object.__setattr__(self, "strength", _number("hires strength", self.strength, 0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All generation parameters of one picture. Same recipe and same weights give the same picture.

    `width` and `height` are the finished picture's, in pixels and multiples of 8; `seed` is 0 to 2³²−1;
    `num_inference_steps` is counted before `source.strength` and `stop` cut it; `guidance_scale` is 1 to 20;
    `scheduler` None is the model's own. Prompts are final, in the language of `generation/prompt_language/`: style
    template and trigger words are already in them, permutations are not. `embeddings` names the textual inversions
    among their words.

    `shared_noise` (0 to 1) is the share of the starting noise's variance that comes from `shared_seed` instead of
    `seed`, so that pictures of one grid can be alike; `weird` (0 to 3000) perturbs the prompt's embedding; `stop` (0.1
    to 1) is the share of the steps after which the picture is taken as it then is; `tile` makes its edges meet;
    `refine` (0 to 1) is the share of the steps, the last ones, that the model's refiner takes.

    Raises `InvalidRecipe` for a value out of its range.
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
    embeddings: tuple[str, ...] = ()
    source: Source | None = None
    mask: Mask | None = None
    shared_seed: int | None = None
    shared_noise: float = 0.0
    weird: int = 0
    stop: float = 1.0
    tile: bool = False
    hires: Hires | None = None
    refine: float = 0.0

    def __post_init__(self) -> None:
        for name in ("prompt", "negative_prompt", "model"):
            _text(name, getattr(self, name))
        if self.scheduler is not None:
            _text("scheduler", self.scheduler)
        for name in ("width", "height"):
            _side(name, getattr(self, name))
        _whole("seed", self.seed, 0, MAX_SEED)
        _whole("steps", self.num_inference_steps, 1, MAX_STEPS)
        object.__setattr__(self, "guidance_scale", _number("cfg", self.guidance_scale, 1, 20))
        if len(self.loras) > MAX_LORAS:
            raise InvalidRecipe(name="lora", value=len(self.loras), allowed=f"at most {MAX_LORAS}")
        for name in self.embeddings:
            _text("embedding", name)
        self._check_sampling()
        self._check_source()

    def _check_sampling(self) -> None:
        if self.shared_seed is not None:
            _whole("shared seed", self.shared_seed, 0, MAX_SEED)
        _whole("weird", self.weird, 0, MAX_WEIRD)
        for name, low in (("shared_noise", 0.0), ("stop", MIN_STOP), ("refine", 0.0)):
            object.__setattr__(self, name, _number(name, getattr(self, name), low, 1))
        if not isinstance(self.tile, bool):
            raise InvalidRecipe(name="tile", value=self.tile, allowed="true or false")
        if self.hires is not None and self.source is not None:
            raise InvalidRecipe(name="hires", value="with a source", allowed="either of them")

    def _check_source(self) -> None:
        if self.source is None:
            if self.mask is not None:
                raise InvalidRecipe(name="mask", value="without a source", allowed="a source to mask")
            return
        frame = self.source.frame
        if frame is None:
            return
        if self.mask is not None:
            raise InvalidRecipe(name="mask", value="with a frame", allowed="either of them")
        if frame.x + frame.width > self.width or frame.y + frame.height > self.height:
            raise InvalidRecipe(name="frame", value=f"{frame.width}x{frame.height}", allowed="within the picture")

    def to_dict(self) -> dict[str, Any]:
        """The recipe as JSON-ready values, with a format version. Fields at their defaults are left out."""
        fields: dict[str, Any] = {"version": FORMAT_VERSION}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            if field.name == "loras":
                value = [dataclasses.asdict(lora) for lora in value]
            elif field.name == "embeddings":
                value = list(value)
            elif dataclasses.is_dataclass(value) and not isinstance(value, type):
                value = _without_defaults(value)
            fields[field.name] = value
        return fields

    def to_json(self) -> str:
        """The canonical form: sorted keys, no spaces, no NaN. Equal recipes have equal canonical JSON."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON: equal recipes have equal digests."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

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
            if "embeddings" in values:
                values["embeddings"] = tuple(values["embeddings"])
            if values.get("source") is not None:
                source = dict(values["source"])
                if source.get("frame") is not None:
                    source["frame"] = Frame(**source["frame"])
                values["source"] = Source(**source)
            for name, part in (("mask", Mask), ("hires", Hires)):
                if values.get(name) is not None:
                    values[name] = part(**values[name])
            return cls(**values)
        except (TypeError, ValueError, AttributeError) as error:
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
    def stored_files(self) -> tuple[str, ...]:
        """The digests of the files that are needed to paint it: its source's and its mask's."""
        parts = (part.digest for part in (self.source, self.mask) if part is not None)
        return tuple(digest for digest in parts if digest is not None)

    @property
    def steps_to_run(self) -> int:
        """Denoising steps that really run, those of a first pass among them.

        Image to image skips the first ones (as diffusers counts them), and `stop` the last ones.
        """
        if self.hires is not None:
            return self.num_inference_steps + self._stopped(self.steps_at(self.hires.strength))
        return self._stopped(self.steps_at(1 if self.source is None else self.source.strength))

    def steps_at(self, strength: float) -> int:
        """The steps from a start of that strength, as diffusers counts them for image to image."""
        return min(int(self.num_inference_steps * strength), self.num_inference_steps)

    def _stopped(self, steps: int) -> int:
        return min(steps, max(1, math.ceil(steps * self.stop)))

    def batch_key(self) -> Hashable:
        """What recipes must have in common to share a forward pass, LoRAs aside.

        A field that `PER_PICTURE_FIELDS` does not name is part of the key, also one that is added later. Whether
        pictures with different `loras` share a pass is for each painter to say: it can always take one pass for each.
        """
        guided = self.guidance_scale > 1  # without guidance a step predicts half as much
        return (*_shared_values(self), guided, *(part and _shared_values(part) for part in (self.source, self.mask)))

    def work(self, *, native_size: int, default_steps: int) -> float:
        """The work of this picture in units of one `native_size`² picture at `default_steps` steps."""
        area = self.width * self.height
        if self.source is not None:
            area = painted_area(self.width, self.height, native_size)
        pixel_steps = area * self.steps_to_run
        if self.hires is not None:
            first = self.num_inference_steps
            pixel_steps -= (area - self.hires.width * self.hires.height) * first
        return pixel_steps / native_size**2 / default_steps


# The fields in which pictures of one forward pass may differ. Of `source` and `mask` what is not named here must be the
# same, and of `guidance_scale` whether there is any guidance.
PER_PICTURE_FIELDS: Mapping[type, frozenset[str]] = {
    Recipe: frozenset(
        {"prompt", "negative_prompt", "seed", "shared_seed", "shared_noise", "weird"}
        | {"guidance_scale", "loras", "embeddings", "source", "mask"}
    ),
    Source: frozenset({"digest"}),
    Mask: frozenset({"digest", "words"}),
}


def _shared_values(part: Recipe | Source | Mask) -> tuple[Hashable, ...]:
    """What must be the same in all pictures of a pass, of a recipe or a part of one."""
    own = PER_PICTURE_FIELDS[type(part)]
    return tuple(getattr(part, field.name) for field in dataclasses.fields(part) if field.name not in own)


def _without_defaults(part: Any) -> dict[str, Any]:
    """A part of a recipe as JSON-ready values, fields at their defaults left out."""
    values = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    return {
        field.name: _without_defaults(values[field.name])
        if dataclasses.is_dataclass(values[field.name])
        else values[field.name]
        for field in dataclasses.fields(part)
        if values[field.name] != field.default
    }


def _side(name: str, value: int) -> None:
    _whole(name, value, 8, MAX_SIDE)
    if value % 8:
        raise InvalidRecipe(name=name, value=value, allowed="a multiple of 8")


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
