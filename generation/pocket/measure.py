"""Measures what a picture shows: the subject's colour and place, ground, sky, greyness, distance of two pictures.

Pure numpy and Pillow, so that tests can use it where no torch is loaded. It knows how Pocket SDXL's scenes are built
(sky above, ground from a little below the middle, subjects standing on it) and nothing of the model. Its own accuracy
on the renderer's scenes is part of every evaluation. What the subject is and how many there are, `classifier.py` tells.
All pictures are RGB; colours, ground and sky are measured on the plain style only; the others change them on purpose.
"""

from __future__ import annotations

from collections import Counter
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generation.pocket.drawing import GROUND_COLOURS, GROUND_TINT, PLACE_SPANS
from generation.pocket.scenes import GROUNDS, PLACES, SKIES, Colour, Ground, Place, Sky

Pixels: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]

# Distance in RGB (0..255 each) from which a pixel is no longer the background.
BACKGROUND_TOLERANCE = 34.0
# The rows (as shares of the height) where subjects are looked for: below most clouds, above the viewer's feet.
SUBJECT_ROWS = (0.30, 0.90)
# A picture whose channels differ by less than this share of the range on average counts as black and white.
NEAR_GREY = 0.95


def distance(first: Image.Image, second: Image.Image) -> float:
    """Mean absolute difference per pixel and channel of two pictures of one size, in units of 1/255."""
    return float(np.abs(_floats(first) - _floats(second)).mean())


def greyness(image: Image.Image) -> float:
    """1 minus the mean spread between a pixel's strongest and weakest channel: 1.0 is black and white, 0..1."""
    pixels = _floats(image)
    return float(1 - (pixels.max(-1) - pixels.min(-1)).mean() / 255)


def is_near_grey(image: Image.Image) -> bool:
    """Whether a picture is black and white to the eye."""
    return greyness(image) >= NEAR_GREY


def sky(image: Image.Image) -> Sky:
    """Day, night or sunset, from the colours of the upper half."""
    pixels = _floats(image)
    height = len(pixels)
    top = np.median(pixels[: height // 8], axis=(0, 1))
    low = np.median(pixels[int(0.36 * height) : int(0.50 * height)], axis=(0, 1))
    # Top and lower sky of the three, as they are drawn.
    prototypes: dict[Sky, tuple[tuple[int, int, int], tuple[int, int, int]]] = {
        "day": ((98, 170, 239), (178, 215, 246)),
        "night": ((11, 14, 40), (32, 40, 86)),
        "sunset": ((100, 67, 135), (238, 130, 110)),
    }
    return min(SKIES, key=lambda name: _gap(top, prototypes[name][0]) + _gap(low, prototypes[name][1]))


def ground(image: Image.Image) -> Ground:
    """Grass, sand, snow or sea, from the colour at the viewer's feet under the light of the picture's sky."""
    pixels = _floats(image)
    height = len(pixels)
    feet = np.median(pixels[int(0.90 * height) :], axis=(0, 1))
    tint = np.array(GROUND_TINT[sky(image)])
    # At 0.95 of the height the ground is nearly its nearest colour, with a little of the far one.
    colours = {
        name: (0.13 * np.array(far) + 0.87 * np.array(near)) * tint for name, (far, near) in GROUND_COLOURS.items()
    }
    return min(GROUNDS, key=lambda name: _gap(feet, colours[name]))


def subject_place(image: Image.Image) -> Place:
    """The side on which the (largest) subject stands."""
    mask = subject_mask(image)
    width = mask.shape[1]
    span = max(3, int(0.40 * min(mask.shape)))
    columns = np.convolve(mask.sum(0), np.ones(span), mode="same")
    centre = float(np.mean(np.flatnonzero(columns == columns.max()))) / width
    return min(PLACES, key=lambda place: abs(centre - sum(PLACE_SPANS[place]) / 2))


def subject_colour(image: Image.Image, place: Place | None = None) -> Colour:
    """The colour that most of a subject's pixels have: the one on the given side, or the most visible one."""
    mask = subject_mask(image)
    side = place or subject_place(image)
    height, width = mask.shape
    half = 0.25 * min(height, width)
    columns = np.arange(width)
    centre = sum(PLACE_SPANS[side]) / 2 * width
    window = mask & (np.abs(columns - centre) <= half)[None]
    votes = Counter(_colour_votes(_reduced(image)[window]))
    return max(votes, key=lambda colour: votes[colour]) if votes else "white"


def subject_mask(image: Image.Image) -> Mask:
    """Where subjects are, at half the picture's size: what differs from its row's background.

    A row's background is what at least two of these agree on: its left edge, its right edge, its median. (A subject may
    touch one edge, or be wider than half the picture.)
    """
    pixels = _reduced(image)
    height, width, _ = pixels.shape
    edge = max(2, width // 24)
    views = np.stack(
        [np.median(pixels[:, :edge], axis=1), np.median(pixels[:, -edge:], axis=1), np.median(pixels, axis=1)]
    )
    gaps = np.linalg.norm(views[:, None] - views[None], axis=-1)
    agreeing = (gaps < BACKGROUND_TOLERANCE).sum(1) >= 2
    # Where nothing agrees (hills on one side), all three count as background.
    agreeing |= ~agreeing.any(0)
    away = np.linalg.norm(pixels[None] - views[:, :, None], axis=-1)
    away[~agreeing] = np.inf
    mask: Mask = away.min(0) > BACKGROUND_TOLERANCE
    first, last = (int(share * height) for share in SUBJECT_ROWS)
    mask[:first] = mask[last:] = False
    return mask


def _floats(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"), dtype=np.float32)


def _reduced(image: Image.Image) -> Pixels:
    return _floats(image.convert("RGB").reduce(2))


def _gap(first: NDArray[np.floating], second: object) -> float:
    return float(np.linalg.norm(first - np.asarray(second, dtype=np.float32)))


def _colour_votes(pixels: Pixels) -> list[Colour]:
    """Name the colours of pixels (n, 3); pixels that clearly are none of the eight (wood, grey shadow) have no vote."""
    votes: list[Colour] = []
    strongest, weakest = pixels.max(-1), pixels.min(-1)
    for (red, green, blue), high, low in zip(pixels.tolist(), strongest.tolist(), weakest.tolist(), strict=True):
        chroma = high - low
        if high < 62 and chroma < 30:
            votes.append("black")
        elif chroma < 45:
            if high > 150:
                votes.append("white")
        else:
            if high == red:
                hue = 60 * ((green - blue) / chroma % 6)
            elif high == green:
                hue = 60 * ((blue - red) / chroma + 2)
            else:
                hue = 60 * ((red - green) / chroma + 4)
            if name := _hue_name(hue, high):
                votes.append(name)
    return votes


def _hue_name(hue: float, value: float) -> Colour | None:
    """Name a hue in degrees; the subjects' own hues are 359, 225, 132, 49, 281 and 29."""
    if hue < 14 or hue >= 335:
        return "red"
    if hue < 40:
        # Dark orange is wood: trunks, masts and doors.
        return "orange" if value > 135 else None
    if hue < 68:
        return "yellow"
    if 105 <= hue < 165:
        return "green"
    if 212 <= hue < 250:
        return "blue"
    if 255 <= hue < 320:
        return "purple"
    return None
