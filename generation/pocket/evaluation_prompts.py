"""The held-out prompts that Pocket SDXL is measured on: the same in every run, worded apart from the captions."""

from __future__ import annotations

import random
from dataclasses import dataclass

from generation.pocket.scenes import COLOURS, GROUNDS, KINDS, PLACES, SKIES, Colour, Ground, Kind, Place, Sky

# Far from the seeds that tests and examples use.
FIRST_SEED = 700_000
FORMATS = ((128, 128), (128, 128), (128, 128), (152, 104), (104, 152), (168, 96))

GROUND_PHRASES: dict[Ground, str] = {"grass": "on grass", "sand": "on sand", "snow": "in the snow", "sea": "on the sea"}
PLACE_PHRASES: dict[Place, str] = {"left": "on the left", "centre": "in the centre", "right": "on the right"}
SKY_PHRASES: dict[Sky, str] = {"day": "by day", "night": "at night", "sunset": "at sunset"}
# How a member writes: as one sentence, as a list, with the time first, with words that mean nothing here.
TEMPLATES = (
    "{subject} {ground} {place} {sky}",
    "{subject}, {ground}, {place}, {sky}",
    "{subject} {place}, {sky}, {ground}",
    "{sky}, {subject} {ground} {place}",
    "{subject} {place} {ground} {sky}, high quality, sharp",
)


@dataclass(slots=True, frozen=True, kw_only=True)
class EvaluationPrompt:
    """A prompt, the seed and size to draw it with, and what it names. What is None is not named, so not measured."""

    text: str
    seed: int
    width: int
    height: int
    kind: Kind
    colour: Colour
    place: Place | None
    ground: Ground
    sky: Sky | None


@dataclass(slots=True, frozen=True, kw_only=True)
class TwoSubjectsPrompt:
    """A prompt that names one colour on the left and another on the right."""

    text: str
    seed: int
    left: Colour
    right: Colour


def single_subject_prompts(count: int) -> list[EvaluationPrompt]:
    """Every kind in every colour in turn; two thirds name a place, three quarters a time."""
    rng = random.Random("held-out prompts")
    pairs = [(kind, colour) for kind in KINDS for colour in COLOURS]
    prompts: list[EvaluationPrompt] = []
    while len(prompts) < count:
        rng.shuffle(pairs)
        prompts += [_single(rng, *pair, FIRST_SEED + len(prompts) + at) for at, pair in enumerate(pairs)]
    return prompts[:count]


def _single(rng: random.Random, kind: Kind, colour: Colour, seed: int) -> EvaluationPrompt:
    ground = rng.choice(GROUNDS)
    place = rng.choice(PLACES) if rng.random() < 2 / 3 else None
    sky = rng.choice(SKIES) if rng.random() < 3 / 4 else None
    words = {
        "subject": with_article(f"{colour} {kind}"),
        "ground": GROUND_PHRASES[ground],
        "place": PLACE_PHRASES[place] if place else "",
        "sky": SKY_PHRASES[sky] if sky else "",
    }
    width, height = rng.choice(FORMATS)
    return EvaluationPrompt(
        text=_tidy(rng.choice(TEMPLATES).format(**words)),
        seed=seed,
        width=width,
        height=height,
        kind=kind,
        colour=colour,
        place=place,
        ground=ground,
        sky=sky,
    )


def ink_prompts(count: int) -> list[EvaluationPrompt]:
    """The first prompts again, as ink drawings, with other seeds."""
    return [
        EvaluationPrompt(
            text=f"ink drawing, {prompt.text}" if index % 2 else f"{prompt.text}, ink drawing, black and white",
            seed=prompt.seed + 10_000,
            width=prompt.width,
            height=prompt.height,
            kind=prompt.kind,
            colour=prompt.colour,
            place=prompt.place,
            ground=prompt.ground,
            sky=prompt.sky,
        )
        for index, prompt in enumerate(single_subject_prompts(count))
    ]


def two_subject_prompts(count: int) -> list[TwoSubjectsPrompt]:
    """Two different things in two different colours, left and right, by day."""
    rng = random.Random("two subjects")
    prompts = []
    for index in range(count):
        (left, right), (first, second) = rng.sample(COLOURS, 2), rng.sample(KINDS, 2)
        subjects = f"{with_article(f'{left} {first}')} on the left and {with_article(f'{right} {second}')} on the right"
        text = f"{subjects}, {GROUND_PHRASES[rng.choice(GROUNDS)]}, by day"
        prompts.append(TwoSubjectsPrompt(text=text, seed=FIRST_SEED + 20_000 + index, left=left, right=right))
    return prompts


def with_article(words: str) -> str:
    """`orange cat` → `an orange cat`."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _tidy(text: str) -> str:
    """Remove what the parts that are not named leave behind."""
    clauses = (" ".join(clause.split()) for clause in text.split(","))
    return ", ".join(clause for clause in clauses if clause)
