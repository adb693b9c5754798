"""Renders a `Scene` with Pillow: the sky from the back, then the ground, then the subjects, then the style.

Drawn at twice the size and reduced, so that edges are smooth. The same scene always gives the same pixels.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from generation.pocket.rendering_styles import apply_style
from generation.pocket.scenes import Ground, Place, Scene, Sky
from generation.pocket.shapes import PALETTE, RGB, Pen, Shades, draw_subject, shade

SUPERSAMPLING = 2
# The parts of a scene as `render_labels` numbers them.
SKY, GROUND, HILLS, LUMINARY, CLOUDS, FIRST_SUBJECT = range(6)

SKY_STOPS: dict[Sky, tuple[tuple[float, RGB], ...]] = {
    "day": ((0.0, (90, 165, 238)), (1.0, (208, 234, 250))),
    "sunset": ((0.0, (82, 62, 138)), (0.55, (232, 105, 110)), (1.0, (255, 190, 110))),
    "night": ((0.0, (8, 10, 34)), (1.0, (42, 52, 105))),
}
# Ground colours at the horizon and at the viewer's feet by daylight. Grass is yellowish and the sea greenish, so that a
# green or blue subject still stands out from them.
GROUND_COLOURS: dict[Ground, tuple[RGB, RGB]] = {
    "grass": ((168, 208, 112), (108, 166, 66)),
    "sand": ((244, 226, 176), (224, 190, 130)),
    "snow": ((222, 232, 246), (246, 249, 254)),
    "sea": ((112, 190, 210), (32, 118, 160)),
}
HILL_COLOURS: dict[Ground, RGB] = {
    "grass": (132, 172, 122),
    "sand": (222, 196, 150),
    "snow": (196, 210, 230),
    "sea": (132, 160, 168),
}
GROUND_TINT: dict[Sky, tuple[float, float, float]] = {
    "day": (1, 1, 1),
    "sunset": (1, 0.80, 0.74),
    "night": (0.38, 0.43, 0.60),
}
CLOUD_COLOURS: dict[Sky, RGB] = {"day": (255, 255, 255), "sunset": (255, 205, 190), "night": (88, 94, 136)}
# Where a named side is, as shares of the picture's width.
PLACE_SPANS: dict[Place, tuple[float, float]] = {"left": (0.22, 0.29), "centre": (0.46, 0.54), "right": (0.71, 0.78)}


def render(scene: Scene) -> Image.Image:
    """Return the scene's RGB picture of exactly `scene.width` × `scene.height` pixels."""
    original_height, original_width = scene.original_size
    if original_height > scene.height:
        top, left = scene.crop
        whole = _paint(replace(scene, width=original_width, height=original_height))
        image = whole.crop((left, top, left + scene.width, top + scene.height))
    else:
        image = _paint(scene)
        if original_height < scene.height:
            small = image.resize((original_width, original_height), Image.Resampling.BOX)
            image = small.resize((scene.width, scene.height), Image.Resampling.BILINEAR)
    return apply_style(image, scene.style)


def render_labels(scene: Scene) -> NDArray[np.uint8]:
    """Which part of the scene each pixel of its picture shows, shape (height, width): `SKY`, `GROUND`, `HILLS`,
    `LUMINARY`, `CLOUDS`, or `FIRST_SUBJECT` plus the subject's index. Shadows are ground.

    Raises ValueError for a scene that is cropped or shrunk.
    """
    if scene.original_size != (scene.height, scene.width):
        raise ValueError("the parts of a cropped or shrunk scene are not known")
    labels = Image.new("L", (scene.width * SUPERSAMPLING, scene.height * SUPERSAMPLING), SKY)
    _paint(scene, ImageDraw.Draw(labels))
    return np.asarray(labels.resize((scene.width, scene.height), Image.Resampling.NEAREST))


def _paint(scene: Scene, labels: ImageDraw.ImageDraw | None = None) -> Image.Image:
    rng = random.Random(scene.seed)
    width, height = scene.width * SUPERSAMPLING, scene.height * SUPERSAMPLING
    horizon = int(height * rng.uniform(0.55, 0.65))
    far, near = (_tinted(_varied(rng, colour, 8), scene.sky) for colour in GROUND_COLOURS[scene.ground])
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:horizon] = _gradient(width, horizon, [(at, _varied(rng, c, 6)) for at, c in SKY_STOPS[scene.sky]])
    pixels[horizon:] = _gradient(width, height - horizon, [(0, far), (1, near)])
    image = Image.fromarray(pixels)
    _draw_sky(image, scene, horizon, rng, labels)
    # The ground is laid over a setting sun.
    image.paste(Image.fromarray(pixels[horizon:]), (0, horizon))
    if labels:
        labels.rectangle([0, horizon, width, height], fill=GROUND)
    _draw_ground(image, scene, horizon, far, near, rng)
    _draw_subjects(image, scene, horizon, near, rng, labels)
    return image.reduce(SUPERSAMPLING)


def _varied(rng: random.Random, colour: RGB, amount: int) -> RGB:
    return tuple(max(0, min(255, channel + rng.randint(-amount, amount))) for channel in colour)  # type: ignore[return-value]


def _tinted(colour: RGB, sky: Sky) -> RGB:
    return tuple(int(channel * tint) for channel, tint in zip(colour, GROUND_TINT[sky], strict=True))  # type: ignore[return-value]


def _gradient(width: int, height: int, stops: list[tuple[float, RGB]]) -> NDArray[np.float64]:
    rows, at = np.linspace(0, 1, height), [stop[0] for stop in stops]
    channels = [np.interp(rows, at, [stop[1][channel] for stop in stops]) for channel in range(3)]
    return np.broadcast_to(np.stack(channels, axis=-1)[:, None], (height, width, 3))


def _draw_sky(
    image: Image.Image, scene: Scene, horizon: int, rng: random.Random, labels: ImageDraw.ImageDraw | None
) -> None:
    width, height = image.size
    canvas = ImageDraw.Draw(image)
    if scene.stars:
        for _ in range(int(45 * width * height / 65536)):
            x, y, radius = rng.uniform(0, width), rng.uniform(0, horizon * 0.9), rng.choice((1.2, 1.2, 1.8, 2.4))
            canvas.ellipse([x - radius, y - radius, x + radius, y + radius], fill=(255, 255, rng.randint(200, 255)))
    if scene.luminary == "sun":
        _draw_sun(image, scene, horizon, rng, labels)
    elif scene.luminary == "moon":
        _draw_moon(image, rng, labels)
    if scene.clouds:
        for _ in range(rng.randint(2, 3)):
            _draw_cloud(image, CLOUD_COLOURS[scene.sky], rng, labels)
    if scene.hills:
        _draw_hills(image, _tinted(_varied(rng, HILL_COLOURS[scene.ground], 8), scene.sky), horizon, rng, labels)


def _draw_sun(
    image: Image.Image, scene: Scene, horizon: int, rng: random.Random, labels: ImageDraw.ImageDraw | None
) -> None:
    width, height = image.size
    radius = min(width, height) * rng.uniform(0.06, 0.09)
    x, y = rng.uniform(0.12, 0.88) * width, rng.uniform(0.10, 0.24) * height
    core: RGB = (255, 232, 90)
    if scene.sky == "sunset":
        y, core = horizon - radius * rng.uniform(0.4, 1.6), (255, 240, 170)
    # The glow is drawn small and enlarged: a blur at full size costs more than all the rest.
    glow = Image.new("L", (width // 4, height // 4))
    box = [(x - 1.9 * radius) / 4, (y - 1.9 * radius) / 4, (x + 1.9 * radius) / 4, (y + 1.9 * radius) / 4]
    ImageDraw.Draw(glow).ellipse(box, fill=120)
    glow = glow.filter(ImageFilter.GaussianBlur(radius * 0.5 / 4)).resize(image.size, Image.Resampling.BILINEAR)
    image.paste((255, 240, 170), (0, 0), glow)
    disc = [x - radius, y - radius, x + radius, y + radius]
    ImageDraw.Draw(image).ellipse(disc, fill=core)
    if labels:
        labels.ellipse(disc, fill=LUMINARY)


def _draw_moon(image: Image.Image, rng: random.Random, labels: ImageDraw.ImageDraw | None) -> None:
    width, height = image.size
    canvas = ImageDraw.Draw(image)
    radius = min(width, height) * rng.uniform(0.06, 0.09)
    x, y = rng.uniform(0.12, 0.88) * width, rng.uniform(0.10, 0.24) * height
    disc = [x - radius, y - radius, x + radius, y + radius]
    canvas.ellipse(disc, fill=(244, 240, 214))
    if labels:
        labels.ellipse(disc, fill=LUMINARY)
    if rng.random() < 0.5:
        behind = image.getpixel((min(width - 1, int(x)), max(0, int(y - radius - 3))))
        shadow = [x - radius * 0.45, y - radius * 1.1, x + radius * 1.45, y + radius * 0.8]
        canvas.ellipse(shadow, fill=behind)
        if labels:
            labels.ellipse(shadow, fill=SKY)


def _draw_cloud(image: Image.Image, colour: RGB, rng: random.Random, labels: ImageDraw.ImageDraw | None) -> None:
    width, height = image.size
    canvas = ImageDraw.Draw(image)
    x, y = rng.uniform(0.05, 0.95) * width, rng.uniform(0.06, 0.30) * height
    puff = min(width, height) * rng.uniform(0.04, 0.06)
    for across, down, size in ((-1.5, 0.2, 0.8), (-0.5, -0.25, 1.1), (0.6, -0.1, 1.0), (1.6, 0.25, 0.75)):
        left, top = x + (across - size) * puff, y + (down - size) * puff
        box = [left, top, left + 2 * size * puff, top + 1.75 * size * puff]
        canvas.ellipse(box, fill=colour)
        if labels:
            labels.ellipse(box, fill=CLOUDS)


def _draw_hills(
    image: Image.Image, colour: RGB, horizon: int, rng: random.Random, labels: ImageDraw.ImageDraw | None
) -> None:
    width, height = image.size
    x = np.linspace(0, width, 24)
    first, second = rng.uniform(0.02, 0.04), rng.uniform(0.01, 0.02)
    waves = first * np.sin(x / width * 5 + rng.uniform(0, 6)) + second * np.sin(x / width * 11 + rng.uniform(0, 6))
    ridge = (horizon - height * (0.06 + waves)).clip(0, horizon)
    points = [(0.0, float(horizon)), *zip(x.tolist(), ridge.tolist(), strict=True), (float(width), float(horizon))]
    ImageDraw.Draw(image).polygon(points, fill=colour)
    if labels:
        labels.polygon(points, fill=HILLS)


def _draw_ground(image: Image.Image, scene: Scene, horizon: int, far: RGB, near: RGB, rng: random.Random) -> None:
    width, height = image.size
    depth = height - horizon
    canvas = ImageDraw.Draw(image)
    if scene.ground == "sea":
        crest: RGB = tuple(min(255, int(channel * 1.2) + 14) for channel in near)  # type: ignore[assignment]
        for _ in range(16):
            y, x = horizon + depth * rng.random() ** 0.8, rng.uniform(0, width)
            half = width * rng.uniform(0.05, 0.12) * (0.4 + (y - horizon) / depth)
            canvas.line([(x - half, y), (x, y - 2), (x + half, y)], fill=crest, width=2)
    elif scene.ground == "grass":
        for _ in range(26):
            y, x = horizon + depth * rng.uniform(0.1, 1), rng.uniform(0, width)
            blade = 3 + 6 * (y - horizon) / depth
            points = [(x - blade * 0.6, y - blade), (x, y), (x + blade * 0.6, y - blade)]
            canvas.line(points, fill=shade(near, 0.82), width=2)
    else:
        ripple = shade(near, 0.92) if scene.ground == "sand" else shade(far, 0.95)
        for row in range(3):
            y, phase = horizon + depth * (row + 0.6) / 3, rng.uniform(0, 6)
            along = np.linspace(0, width, 20)
            swell = y + height * 0.018 * np.sin(along / width * 6 + phase)
            canvas.line(list(zip(along.tolist(), swell.tolist(), strict=True)), fill=ripple, width=4)


def _draw_subjects(
    image: Image.Image,
    scene: Scene,
    horizon: int,
    near: RGB,
    rng: random.Random,
    labels: ImageDraw.ImageDraw | None,
) -> None:
    width, height = image.size
    canvas = ImageDraw.Draw(image)
    night = scene.sky == "night"
    sizes = (0.42, 0.48) if len(scene.subjects) == 1 else (0.34, 0.40)
    # Mountains stand farther away than anything else.
    for index, subject in sorted(enumerate(scene.subjects), key=lambda entry: entry[1].kind != "mountain"):
        base = _varied(rng, PALETTE[subject.colour], 6)
        if night:
            base = shade(base, 0.90 if subject.colour != "black" else 0.6)
        size = min(width, height) * rng.uniform(*sizes)
        x = rng.uniform(*PLACE_SPANS[subject.place]) * width
        y = horizon + (height - horizon) * (0.10 if subject.kind == "mountain" else rng.uniform(0.28, 0.60))
        if subject.kind != "mountain":
            box = [x - 0.5 * size, y - 0.05 * size, x + 0.5 * size, y + 0.09 * size]
            canvas.ellipse(box, fill=shade(near, 0.78))
        shades = Shades.of(subject.colour, base)
        pen = Pen(canvas, x, y, size, labels, FIRST_SUBJECT + index)
        draw_subject(pen, subject.kind, shades, rng, night)
