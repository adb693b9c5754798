"""What Pocket SDXL can be taught to draw: the description of one scene, and how scenes are drawn by lot.

A `Scene` is the single source of a training example: `drawing.render` makes its picture and `captions.caption` makes
its words, so that both always agree.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["house", "tree", "boat", "mountain", "cat", "ball", "cube"]
Colour = Literal["red", "blue", "green", "yellow", "purple", "orange", "white", "black"]
Place = Literal["left", "centre", "right"]
Ground = Literal["grass", "sand", "snow", "sea"]
Sky = Literal["day", "night", "sunset"]
Luminary = Literal["sun", "moon", "none"]
Style = Literal["plain", "ink", "pixel", "pastel", "neon", "blueprint"]

KINDS: tuple[Kind, ...] = get_args(Kind)
COLOURS: tuple[Colour, ...] = get_args(Colour)
PLACES: tuple[Place, ...] = get_args(Place)
GROUNDS: tuple[Ground, ...] = get_args(Ground)
SKIES: tuple[Sky, ...] = get_args(Sky)

# The model itself is shown these; `neon` and `blueprint` are held back for the two LoRAs.
BASE_STYLES: tuple[Style, ...] = ("plain", "ink", "pixel", "pastel")
BASE_STYLE_WEIGHTS = (0.61, 0.15, 0.09, 0.15)

NATIVE_SIZE = 128
# SDXL's training buckets divided by 8, as (width, height), with their share of the training scenes.
BUCKETS: dict[tuple[int, int], float] = {
    (128, 128): 0.52,
    (152, 104): 0.13,
    (104, 152): 0.09,
    (168, 96): 0.09,
    (96, 168): 0.08,
    (144, 112): 0.03,
    (112, 144): 0.02,
    (192, 80): 0.02,
    (80, 192): 0.02,
}

# One scene in six has two subjects: more of them blur what a single named subject looks like.
TWO_SUBJECTS_SHARE = 1 / 6
# Cut from a larger canvas, so that SDXL's crop coordinates mean something; shrunk, so that its original size does.
CROPPED_SHARE = 0.08
SHRUNK_SHARE = 0.04


@dataclass(slots=True, frozen=True, kw_only=True)
class Subject:
    """One thing in a scene: what, in which colour, on which side."""

    kind: Kind
    colour: Colour
    place: Place


@dataclass(slots=True, frozen=True, kw_only=True)
class Scene:
    """Everything that decides a picture, `seed` included (it places the details that no word names).

    `width` and `height` are the picture's pixels; `original_size` (height, width) and `crop` (top, left) are SDXL's
    micro-conditioning in the same pixels: where the original is larger the picture is a window cut from it, where it
    is smaller the picture was enlarged from it.
    """

    width: int
    height: int
    subjects: tuple[Subject, ...]
    ground: Ground
    sky: Sky
    luminary: Luminary
    stars: bool
    clouds: bool
    hills: bool
    style: Style
    original_size: tuple[int, int]
    crop: tuple[int, int]
    seed: int


def sample_scene(
    rng: random.Random,
    width: int = NATIVE_SIZE,
    height: int = NATIVE_SIZE,
    *,
    style: Style | None = None,
    subjects: tuple[Subject, ...] | None = None,
    plain_framing: bool = False,
) -> Scene:
    """Draw a scene by lot; what is given is kept. `plain_framing` turns cropping and shrinking off."""
    sky = rng.choices(SKIES, (0.46, 0.27, 0.27))[0]
    ground = rng.choice(GROUNDS)
    luminary: Luminary = rng.choice(("moon", "none") if sky == "night" else ("sun", "none"))
    original_size, crop = (height, width), (0, 0)
    framing = rng.random()
    if framing < CROPPED_SHARE and not plain_framing:
        original_size = int(height * 1.25), int(width * 1.25)
        crop = rng.randrange(original_size[0] - height + 1), rng.randrange(original_size[1] - width + 1)
    elif framing < CROPPED_SHARE + SHRUNK_SHARE and not plain_framing:
        original_size = height // 2, width // 2
    return Scene(
        width=width,
        height=height,
        subjects=subjects if subjects is not None else _sample_subjects(rng, ground),
        ground=ground,
        sky=sky,
        luminary=luminary,
        stars=sky == "night" and rng.random() < 0.6,
        clouds=rng.random() < 0.35,
        hills=rng.random() < 0.25,
        style=style or rng.choices(BASE_STYLES, BASE_STYLE_WEIGHTS)[0],
        original_size=original_size,
        crop=crop,
        seed=rng.randrange(1 << 30),
    )


def _sample_subjects(rng: random.Random, ground: Ground) -> tuple[Subject, ...]:
    places: tuple[Place, ...]
    if rng.random() < TWO_SUBJECTS_SHARE:
        places = (("left", "right"), ("left", "right"), ("left", "centre"), ("centre", "right"))[rng.randrange(4)]
    else:
        places = (rng.choices(PLACES, (0.3, 0.4, 0.3))[0],)
    colours = rng.sample(COLOURS, len(places))
    return tuple(
        Subject(kind=_sample_kind(rng, ground), colour=colour, place=place)
        for colour, place in zip(colours, places, strict=True)
    )


def _sample_kind(rng: random.Random, ground: Ground) -> Kind:
    return "boat" if ground == "sea" and rng.random() < 0.3 else rng.choice(KINDS)
