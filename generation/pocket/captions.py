"""Words for a scene, made anew at every training step, in the ways people write prompts.

What a caption leaves out is left to chance in the picture. A place that goes unnamed is mostly the centre and a time
that goes unnamed mostly the day, so that a short prompt (`a red boat on the sea`) has one likely picture instead of an
average of several; that is what keeps such a prompt from showing its subject twice.
"""

from __future__ import annotations

import random
import string

from generation.pocket.scenes import Ground, Kind, Place, Scene, Sky, Style, Subject

KIND_WORDS: dict[Kind, tuple[str, ...]] = {
    "house": ("house", "house", "house", "cottage", "home", "cabin"),
    "tree": ("tree",),
    "boat": ("boat", "boat", "boat", "sailboat", "ship", "sailing boat"),
    "mountain": ("mountain", "mountain", "mountain", "peak"),
    "cat": ("cat", "cat", "cat", "kitten"),
    "ball": ("ball", "ball", "ball", "sphere"),
    "cube": ("cube", "cube", "cube", "box", "block"),
}
PLACE_WORDS: dict[Place, tuple[str, ...]] = {
    "left": ("on the left", "on the left", "to the left", "at the left", "on the left side", "left"),
    "right": ("on the right", "on the right", "to the right", "at the right", "on the right side", "right"),
    "centre": ("in the centre", "in the center", "in the middle", "at the center", "centered", "center", "centre"),
}
GROUND_WORDS: dict[Ground, tuple[str, ...]] = {
    "grass": ("on grass", "on grass", "on the grass", "in a green meadow", "in a meadow", "in a grassy field", "grass"),
    "sand": ("on sand", "on the sand", "in the desert", "on a sandy beach", "on the beach", "in the dunes", "desert"),
    "snow": ("in the snow", "in the snow", "on snow", "in a snowy field", "in winter", "in snow", "snow"),
    "sea": ("on the sea", "on the sea", "at sea", "on the ocean", "on the water", "in the sea", "by the sea", "sea"),
}
SKY_WORDS: dict[Sky, tuple[str, ...]] = {
    "day": (
        "by day",
        "by day",
        "in daylight",
        "on a sunny day",
        "on a clear day",
        "under a blue sky",
        "day",
        "daytime",
    ),
    "night": ("at night", "at night", "by night", "in the night", "under a night sky", "on a dark night", "night"),
    "sunset": ("at sunset", "at sunset", "at dusk", "in the evening", "under a sunset sky", "sunset"),
}
STYLE_WORDS: dict[Style, tuple[str, ...]] = {
    "ink": ("ink drawing", "ink drawing", "ink", "in ink", "black and white ink drawing", "ink painting", "ink style"),
    "pixel": ("pixel art", "pixel art", "pixel", "in pixel art style", "8-bit pixel art", "retro pixel art"),
    "pastel": ("pastel", "pastel drawing", "in pastel", "soft pastel colors", "soft pastel drawing", "pastel style"),
    "neon": ("neon", "neon style", "neon lights", "in neon style"),
    "blueprint": ("blueprint", "blueprint style", "a blueprint", "in blueprint style"),
}
# Said in many prompts and no picture of ours differs by it: the model learns to pass over such words.
# fmt: off
FILLER = (
    "a picture of", "an image of", "a painting of", "a photo of", "a drawing of", "illustration", "digital art",
    "artwork", "masterpiece", "best quality", "high quality", "highly detailed", "detailed", "intricate",
    "sharp focus", "8k", "4k", "hdr", "beautiful", "cute", "pretty", "nice", "amazing", "wallpaper", "landscape",
    "scenery", "cinematic", "photograph", "professional", "dramatic lighting", "soft light", "volumetric light",
    "colorful", "vibrant", "concept art", "trending", "fantasy", "anime", "watercolor", "oil painting", "sketch",
    "comic", "3d render", "film grain", "minimalist", "simple", "please", "award winning", "realistic", "epic",
    "peaceful", "quiet", "depth of field", "bokeh", "wide shot", "view", "neon", "neon lights", "blueprint",
    "blueprint style",
)
NEGATIVE_FILLER = (
    "blurry", "low quality", "worst quality", "text", "watermark", "signature", "deformed", "ugly", "noise",
    "noisy", "jpeg artifacts", "bad anatomy", "cropped", "photo", "photorealistic", "duplicate", "out of frame",
    "grainy", "oversaturated", "distorted", "color", "colour", "dull",
)
# fmt: on

# How often a caption leaves something out.
PLACE_UNNAMED: dict[Place, float] = {"centre": 0.50, "left": 0.15, "right": 0.15}
SKY_UNNAMED: dict[Sky, float] = {"day": 0.45, "sunset": 0.15, "night": 0.15}
GROUND_UNNAMED = 0.12
COLOUR_UNNAMED = 0.05
ONLY_FILLER = 0.02


def caption(scene: Scene, rng: random.Random) -> str:
    """Describe a scene in one of very many ways. Its style is nearly always named, its other features often."""
    if rng.random() < ONLY_FILLER:
        return ", ".join(rng.sample(NEGATIVE_FILLER, rng.randint(1, 6)))
    text = rng.choice((", ", ", ", " ")).join(_main_parts(scene, rng))
    parts = [text, *_details(scene, rng)]
    if scene.style != "plain" and rng.random() < 0.97:
        words = rng.choice(STYLE_WORDS[scene.style])
        if scene.style == "ink" and rng.random() < 0.2:
            words += rng.choice((", black and white", ", monochrome"))
        parts.insert(0 if rng.random() < 0.5 else len(parts), words)
    _add_filler(parts, rng)
    joined = rng.choice((", ", ", ", ", ", " ", ". ")).join(parts)
    return joined[0].upper() + joined[1:] + rng.choice(("", ".")) if rng.random() < 0.2 else joined


def _main_parts(scene: Scene, rng: random.Random) -> list[str]:
    """Subjects, ground and sky, mostly in this order."""
    setting = []
    if rng.random() >= GROUND_UNNAMED:
        setting.append(rng.choice(GROUND_WORDS[scene.ground]))
    if rng.random() >= SKY_UNNAMED[scene.sky]:
        setting.append(rng.choice(SKY_WORDS[scene.sky]))
    if rng.random() < 0.25:
        setting.reverse()
    subjects = _subjects(scene.subjects, rng)
    return [subjects, *setting] if rng.random() < 0.85 else [*setting, subjects]


def _subjects(subjects: tuple[Subject, ...], rng: random.Random) -> str:
    # With two subjects their sides are nearly always named.
    unnamed = PLACE_UNNAMED[subjects[0].place] if len(subjects) == 1 else 0.1
    place_named = rng.random() >= unnamed
    phrases = [_subject(subject, place_named, rng) for subject in subjects]
    if rng.random() < 0.35:
        phrases.reverse()
    return rng.choice((" and ", " and ", ", ", " with ")).join(phrases)


def _subject(subject: Subject, place_named: bool, rng: random.Random) -> str:
    noun = rng.choice(KIND_WORDS[subject.kind])
    named = noun if rng.random() < COLOUR_UNNAMED else f"{subject.colour} {noun}"
    article = rng.choice(("a ", "a ", "a ", "a ", "the ", "one ", ""))
    if article == "a " and named[0] in "aeiou":
        article = "an "
    if not place_named:
        return article + named
    place = rng.choice(PLACE_WORDS[subject.place])
    return f"{place}, {article}{named}" if rng.random() < 0.08 else f"{article}{named} {place}"


def _details(scene: Scene, rng: random.Random) -> list[str]:
    details = []
    if scene.luminary == "sun" and rng.random() < 0.6:
        details.append(rng.choice(("sun", "with the sun", "with a bright sun", "the sun in the sky")))
    if scene.luminary == "moon" and rng.random() < 0.6:
        details.append(rng.choice(("moon", "with the moon", "with a moon", "the moon in the sky")))
    if scene.stars and rng.random() < 0.6:
        details.append(rng.choice(("stars", "with stars", "stars in the sky", "under the stars")))
    if scene.clouds and rng.random() < 0.6:
        details.append(rng.choice(("clouds", "with clouds", "some clouds in the sky", "cloudy")))
    if scene.hills and rng.random() < 0.5:
        details.append(rng.choice(("hills", "with hills", "hills in the distance")))
    rng.shuffle(details)
    return details


def _add_filler(parts: list[str], rng: random.Random) -> None:
    if rng.random() < 0.25:
        for word in rng.sample(FILLER, rng.randint(1, 4)):
            parts.insert(rng.choice((0, len(parts))), word)
    if rng.random() < 0.06:
        parts.insert(rng.choice((0, len(parts))), _nonsense(rng))


def _nonsense(rng: random.Random) -> str:
    """A word that means nothing, now and then in another script, so that all bytes are met in training."""
    if rng.random() < 0.75:
        return "".join(rng.choices(string.ascii_lowercase + string.digits, k=rng.randint(3, 9)))
    first, last = rng.choice(((0xA1, 0x24F), (0x370, 0x5FF), (0x3041, 0x30FF), (0x4E00, 0x9FFF), (0x1F300, 0x1F6FF)))
    return "".join(chr(rng.randint(first, last)) for _ in range(rng.randint(1, 5)))
