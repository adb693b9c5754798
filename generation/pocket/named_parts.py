"""Names for the parts of a scene, as people say what they want changed: `the red boat`, `sky`, `water`."""

from __future__ import annotations

import random
from dataclasses import dataclass

from generation.pocket.captions import KIND_WORDS
from generation.pocket.drawing import CLOUDS, FIRST_SUBJECT, GROUND, HILLS, LUMINARY, SKY
from generation.pocket.scenes import COLOURS, GROUNDS, KINDS, Ground, Scene

SKY_NAMES = ("sky", "the sky")
GROUND_NAMES: dict[Ground, tuple[str, ...]] = {
    "grass": ("grass", "the grass", "meadow", "the meadow", "green grass"),
    "sand": ("sand", "the sand", "desert", "the desert", "beach", "the beach"),
    "snow": ("snow", "the snow", "white snow"),
    "sea": ("sea", "the sea", "ocean", "the ocean", "water", "the water"),
}
# What is named in half of the examples: a subject, the rest a part of the landscape.
SUBJECT_SHARE = 0.65
ABSENT_SHARE = 0.5


@dataclass(slots=True, frozen=True, kw_only=True)
class NamedPart:
    """Words, and the labels of `render_labels` that they mean: none where there is no such thing in the scene."""

    name: str
    labels: tuple[int, ...]


def sample_named_part(scene: Scene, rng: random.Random) -> NamedPart:
    """Name something that is in the scene, or (half of the time) something that is not."""
    if rng.random() < SUBJECT_SHARE:
        return _absent_subject(scene, rng) if rng.random() < ABSENT_SHARE else _present_subject(scene, rng)
    return _landscape(scene, rng)


def subject_part(scene: Scene, kind: str, colour: str | None, words: str) -> NamedPart:
    """All subjects of a kind (and of a colour, where one is said)."""
    meant = [
        FIRST_SUBJECT + index
        for index, subject in enumerate(scene.subjects)
        if subject.kind == kind and colour in (None, subject.colour)
    ]
    return NamedPart(name=words, labels=tuple(meant))


def _present_subject(scene: Scene, rng: random.Random) -> NamedPart:
    subject = rng.choice(scene.subjects)
    colour = subject.colour if rng.random() < 0.5 else None
    return subject_part(scene, subject.kind, colour, _words(subject.kind, colour, rng))


def _absent_subject(scene: Scene, rng: random.Random) -> NamedPart:
    subject = rng.choice(scene.subjects)
    if rng.random() < 0.4:
        colour = rng.choice([colour for colour in COLOURS if colour != subject.colour])
        return subject_part(scene, subject.kind, colour, _words(subject.kind, colour, rng))
    kind = rng.choice([kind for kind in KINDS if kind != subject.kind])
    # Often in the colour of what is there, which must not be taken for it.
    named = rng.choice((None, subject.colour, rng.choice(COLOURS)))
    return subject_part(scene, kind, named, _words(kind, named, rng))


def _landscape(scene: Scene, rng: random.Random) -> NamedPart:
    match rng.choices(("sky", "ground", "luminary", "clouds", "hills"), (0.3, 0.45, 0.1, 0.1, 0.05))[0]:
        case "sky":
            return NamedPart(name=rng.choice(SKY_NAMES), labels=(SKY, LUMINARY, CLOUDS))
        case "ground":
            ground = scene.ground if rng.random() >= ABSENT_SHARE else rng.choice(GROUNDS)
            there = (GROUND,) if ground == scene.ground else ()
            return NamedPart(name=rng.choice(GROUND_NAMES[ground]), labels=there)
        case "luminary":
            name = rng.choice(("sun", "moon"))
            return NamedPart(
                name=rng.choice((name, f"the {name}")), labels=(LUMINARY,) if scene.luminary == name else ()
            )
        case "clouds":
            return NamedPart(name=rng.choice(("clouds", "the clouds")), labels=(CLOUDS,))
        case _:
            return NamedPart(name=rng.choice(("hills", "the hills")), labels=(HILLS,))


def _words(kind: str, colour: str | None, rng: random.Random) -> str:
    noun = rng.choice(KIND_WORDS[kind])  # type: ignore[index]
    named = f"{colour} {noun}" if colour else noun
    return rng.choice(("", "", "the ", "the ", "an " if named[0] in "aeiou" else "a ")) + named
