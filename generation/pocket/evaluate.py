"""`python -m generation.pocket.evaluate`: measures whether Pocket SDXL draws what held-out prompts say.

First the measurement itself is checked on the renderer's own scenes, then the model at its default settings. Seeded
throughout: the same weights give the same figures on the same machine.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import LCMScheduler, StableDiffusionXLPipeline
from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from generation.pocket import measure
from generation.pocket.classifier import SubjectClassifier, load_classifier, recognise
from generation.pocket.drawing import render
from generation.pocket.evaluation_prompts import (
    EvaluationPrompt,
    TwoSubjectsPrompt,
    ink_prompts,
    single_subject_prompts,
    two_subject_prompts,
)
from generation.pocket.scenes import KINDS, Subject, sample_scene

FOLDER = Path(__file__).parent
BATCH_SIZE = 8
# The share of the prompts that is also drawn without guidance, as ink and with two subjects.
GUIDANCE_SHARE, INK_SHARE, TWO_SUBJECTS_SHARE = 0.4, 0.2, 0.2
MEBI = 1024**2


@dataclass(slots=True, frozen=True, kw_only=True)
class Settings:
    """How to draw: the model's defaults (from `limner.json`), or a draft's."""

    num_inference_steps: int
    guidance_scale: float


# What draws in a few steps: one forward pass a step, as guidance is folded in.
DRAFT_LORA = FOLDER / "loras" / "pocket-lcm.safetensors"
DRAFT = Settings(num_inference_steps=6, guidance_scale=1.0)


@dataclass(slots=True, frozen=True, kw_only=True)
class Agreement:
    """Shares (0..1) of pictures that show what was said, each over those prompts that say it."""

    colour: float
    place: float
    ground: float
    sky: float
    subject: float
    one_subject: float


@dataclass(slots=True, frozen=True, kw_only=True)
class Evaluation:
    """The model's figures; shares are 0..1, sizes in MiB."""

    colour: float
    place: float
    ground: float
    sky: float
    subject: float
    one_subject: float
    ink_grey: float
    two_subjects: float
    colour_without_guidance: float
    seconds_for_four: float
    weights_mb: float
    prompts: int
    measurement: Agreement


@dataclass(slots=True, frozen=True, kw_only=True)
class DraftEvaluation:
    """The figures of pictures in a few steps, over the prompts that the model itself is measured on."""

    steps: int
    guidance_scale: float
    prompts: int
    agreement: Agreement
    seconds_for_four: float


def load_pipeline(model: Path) -> tuple[StableDiffusionXLPipeline, Settings]:
    """The model in float32 with its default settings."""
    # dtype must be said: from a float16 folder transformers would keep float16, which is slow on a CPU.
    pipeline = StableDiffusionXLPipeline.from_pretrained(model, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    stored = json.loads((model / "limner.json").read_text(encoding="utf-8"))
    settings = Settings(num_inference_steps=stored["num_inference_steps"], guidance_scale=stored["guidance_scale"])
    return pipeline, settings


def evaluate(model: Path, prompts: int) -> Evaluation:
    """Measure the model in a folder over `prompts` held-out prompts (and shares of that number for the rest)."""
    classifier = load_classifier()
    pipeline, settings = load_pipeline(model)
    singles = single_subject_prompts(prompts)
    images = draw(pipeline, settings, singles, "pictures")
    agreement = judge(classifier, singles, images)

    unguided = singles[: max(1, round(prompts * GUIDANCE_SHARE))]
    plain = Settings(num_inference_steps=settings.num_inference_steps, guidance_scale=1.0)
    unguided_images = draw(pipeline, plain, unguided, "without guidance")

    inks = ink_prompts(max(1, round(prompts * INK_SHARE)))
    ink_images = draw(pipeline, settings, inks, "ink")
    pairs = two_subject_prompts(max(1, round(prompts * TWO_SUBJECTS_SHARE)))
    pair_images = draw(pipeline, settings, pairs, "two subjects")
    return Evaluation(
        **asdict(agreement),
        ink_grey=_share(measure.is_near_grey(image) for image in ink_images),
        two_subjects=_share(shows_both(pair, image) for pair, image in zip(pairs, pair_images, strict=True)),
        colour_without_guidance=judge(classifier, unguided, unguided_images).colour,
        seconds_for_four=seconds_for_four(pipeline, settings),
        weights_mb=weights_mb(model),
        prompts=prompts,
        measurement=validate_measurement(classifier, prompts),
    )


def evaluate_draft(model: Path, lora: Path, prompts: int, settings: Settings) -> DraftEvaluation:
    """Measure pictures in a few steps of LCMScheduler with the LoRA."""
    pipeline, _ = load_pipeline(model)
    add_draft_lora(pipeline, lora)
    singles = single_subject_prompts(prompts)
    return DraftEvaluation(
        steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        prompts=prompts,
        agreement=judge(load_classifier(), singles, draw(pipeline, settings, singles, "drafts")),
        seconds_for_four=seconds_for_four(pipeline, settings),
    )


def add_draft_lora(pipeline: StableDiffusionXLPipeline, lora: Path) -> None:
    """Let the pipeline draw in a few steps."""
    pipeline.load_lora_weights(lora.parent, weight_name=lora.name, adapter_name=lora.stem)
    pipeline.scheduler = LCMScheduler.from_config(pipeline.scheduler.config)


def draw(
    pipeline: StableDiffusionXLPipeline,
    settings: Settings,
    prompts: Sequence[EvaluationPrompt] | Sequence[TwoSubjectsPrompt],
    name: str,
) -> list[Image.Image]:
    """One picture per prompt, from its own seed, in batches of one size; in the prompts' order."""
    sizes = [(p.width, p.height) if isinstance(p, EvaluationPrompt) else (128, 128) for p in prompts]
    by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index, size in enumerate(sizes):
        by_size[size].append(index)
    images: dict[int, Image.Image] = {}
    with tqdm(total=len(prompts), desc=name, unit="picture") as bar:
        for (width, height), indices in by_size.items():
            for start in range(0, len(indices), BATCH_SIZE):
                batch = indices[start : start + BATCH_SIZE]
                drawn: Any = pipeline(
                    [prompts[index].text for index in batch],
                    width=width,
                    height=height,
                    num_inference_steps=settings.num_inference_steps,
                    guidance_scale=settings.guidance_scale,
                    generator=[torch.Generator().manual_seed(prompts[index].seed) for index in batch],
                )
                images.update(zip(batch, drawn.images, strict=True))
                bar.update(len(batch))
    return [images[index] for index in range(len(prompts))]


def judge(
    classifier: SubjectClassifier, prompts: Sequence[EvaluationPrompt], images: Sequence[Image.Image]
) -> Agreement:
    """Compare pictures with what their prompts name."""
    pairs = list(zip(prompts, images, strict=True))
    seen = recognise(classifier, list(images))
    return Agreement(
        colour=_share(measure.subject_colour(image, prompt.place) == prompt.colour for prompt, image in pairs),
        place=_share(measure.subject_place(image) == prompt.place for prompt, image in pairs if prompt.place),
        ground=_share(measure.ground(image) == prompt.ground for prompt, image in pairs),
        sky=_share(measure.sky(image) == prompt.sky for prompt, image in pairs if prompt.sky),
        subject=_share(what.kind == prompt.kind for prompt, what in zip(prompts, seen, strict=True)),
        one_subject=_share(what.number == 1 for what in seen),
    )


def shows_both(prompt: TwoSubjectsPrompt, image: Image.Image) -> bool:
    """Whether each side shows its colour."""
    return (
        measure.subject_colour(image, "left") == prompt.left and measure.subject_colour(image, "right") == prompt.right
    )


def validate_measurement(classifier: SubjectClassifier, count: int) -> Agreement:
    """The same measurement on pictures known to be right: the renderer's scenes of the same prompts.

    A third of them also check that several subjects are not counted as one: their `one_subject` is right if not 1.
    """
    rng = random.Random("validation")
    prompts = single_subject_prompts(count)
    images = [_rendered(prompt, rng, several=False) for prompt in prompts]
    crowds = [_rendered(prompt, rng, several=True) for prompt in prompts[::3]]
    agreement = judge(classifier, prompts, images)
    alone = round(agreement.one_subject * count)
    crowded = sum(what.number > 1 for what in recognise(classifier, crowds))
    return Agreement(**{**asdict(agreement), "one_subject": (alone + crowded) / (count + len(crowds))})


def _rendered(prompt: EvaluationPrompt, rng: random.Random, several: bool) -> Image.Image:
    subject = Subject(kind=prompt.kind, colour=prompt.colour, place=prompt.place or "centre")
    subjects: tuple[Subject, ...] = (subject,)
    if several:
        other = rng.choice([prompt.kind, rng.choice(KINDS)])
        subjects = (
            Subject(kind=prompt.kind, colour=prompt.colour, place="left"),
            Subject(kind=other, colour=prompt.colour, place="right"),
        )
    while True:
        scene = sample_scene(rng, prompt.width, prompt.height, style="plain", subjects=subjects, plain_framing=True)
        if scene.ground == prompt.ground and prompt.sky in (None, scene.sky):
            return render(scene)


def seconds_for_four(pipeline: StableDiffusionXLPipeline, settings: Settings) -> float:
    """Median of three: four pictures of one prompt at the default settings."""
    times = []
    for _ in range(3):
        started = time.perf_counter()
        pipeline(
            "a red boat on the sea",
            width=128,
            height=128,
            num_images_per_prompt=4,
            num_inference_steps=settings.num_inference_steps,
            guidance_scale=settings.guidance_scale,
            generator=torch.Generator().manual_seed(1),
        )
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def weights_mb(model: Path) -> float:
    """All weight files of the model folder, and of the LoRAs and the classifier beside it, in MiB."""
    files = [
        *model.rglob("*.safetensors"),
        *model.parent.glob("loras/*.safetensors"),
        *model.parent.glob("*.safetensors"),
    ]
    return sum(path.stat().st_size for path in files) / MEBI


def _share(outcomes: Iterable[bool]) -> float:
    results = list(outcomes)
    return sum(results) / len(results) if results else float("nan")


def print_table(evaluation: Evaluation) -> None:
    """The figures for people."""
    table = Table(title=f"Pocket SDXL over {evaluation.prompts} held-out prompts")
    table.add_column("figure")
    table.add_column("model", justify="right")
    table.add_column("same measurement on renders", justify="right")
    checked = asdict(evaluation.measurement)
    for name, value in asdict(evaluation).items():
        if isinstance(value, float):
            table.add_row(name, f"{value:.3f}", f"{checked[name]:.3f}" if name in checked else "")
    Console().print(table)


def main(arguments: list[str] | None = None) -> None:
    """Evaluate and print a table, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m generation.pocket.evaluate", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--model", type=Path, default=FOLDER / "weights", help="a folder in diffusers' layout")
    parser.add_argument("--prompts", type=int, default=240, help="held-out prompts with one subject")
    parser.add_argument("--draft", action="store_true", help="measure pictures in a few steps; prints JSON")
    parser.add_argument("--draft-steps", type=int, default=DRAFT.num_inference_steps)
    parser.add_argument("--draft-guidance", type=float, default=DRAFT.guidance_scale)
    options = parser.parse_args(arguments)
    if options.draft:
        settings = Settings(num_inference_steps=options.draft_steps, guidance_scale=options.draft_guidance)
        draft = evaluate_draft(options.model, DRAFT_LORA, options.prompts, settings)
        sys.stdout.write(json.dumps(asdict(draft), indent=2) + "\n")
        return
    evaluation = evaluate(options.model, options.prompts)
    if options.json:
        sys.stdout.write(json.dumps(asdict(evaluation), indent=2) + "\n")
    else:
        print_table(evaluation)


if __name__ == "__main__":
    main()
