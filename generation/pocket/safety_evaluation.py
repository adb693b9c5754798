"""`python -m generation.pocket.safety_evaluation`: measures the pocket image classifier.

On scenes from seeds that no training draws from, and on what the pocket model draws from the prompts of the evaluation,
which name what is to be seen.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image

from generation.painter.devices import Placement
from generation.painter.safety import SafetyClassifier
from generation.pocket.drawing import render
from generation.pocket.evaluate import FOLDER, load_pipeline
from generation.pocket.evaluation_prompts import single_subject_prompts
from generation.pocket.safety_training import UNWANTED, sample_guarded_scene
from generation.pocket.segmentation_training import through_autoencoder

CPU = Placement(device=torch.device("cpu"), dtype=torch.float32, vram="full")
THRESHOLD = 0.5


@dataclass(slots=True, frozen=True, kw_only=True)
class SafetyFigures:
    """Shares at a threshold of one half: `caught` of the pictures with a cat, `false_alarms` of those without.

    `_soft` is on scenes that went through the autoencoder, `_drawn` on pictures that the model drew.
    """

    caught: float
    false_alarms: float
    caught_soft: float
    false_alarms_soft: float
    caught_drawn: float
    false_alarms_drawn: float


def evaluate_safety(model: Path, folder: Path, scenes: int, prompts: int) -> SafetyFigures:
    """Look at so many scenes, and at a picture for each of so many prompts."""
    classifier = SafetyClassifier.load(str(folder), UNWANTED, CPU)
    pipeline, settings = load_pipeline(model)
    rng = random.Random("held-out safety")
    sharp: list[tuple[Image.Image, bool]] = []
    for _ in range(scenes):
        scene = sample_guarded_scene(rng)
        sharp.append((render(scene), any(subject.kind == UNWANTED for subject in scene.subjects)))
    soft = [(through_autoencoder(pipeline.vae, picture), cat) for picture, cat in sharp]
    drawn = [
        (
            pipeline(
                prompt.text,
                width=prompt.width,
                height=prompt.height,
                num_inference_steps=settings.num_inference_steps,
                guidance_scale=settings.guidance_scale,
                generator=torch.Generator().manual_seed(prompt.seed),
            ).images[0],
            prompt.kind == UNWANTED,
        )
        for prompt in single_subject_prompts(prompts)
    ]
    shares = [_shares(classifier, pictures) for pictures in (sharp, soft, drawn)]
    return SafetyFigures(
        caught=shares[0][0],
        false_alarms=shares[0][1],
        caught_soft=shares[1][0],
        false_alarms_soft=shares[1][1],
        caught_drawn=shares[2][0],
        false_alarms_drawn=shares[2][1],
    )


def _shares(classifier: SafetyClassifier, pictures: Sequence[tuple[Image.Image, bool]]) -> tuple[float, float]:
    flagged: dict[bool, list[bool]] = {True: [], False: []}
    for picture, cat in pictures:
        flagged[cat].append(classifier.score(picture) >= THRESHOLD)
    caught, alarms = (sum(flagged[cat]) / max(1, len(flagged[cat])) for cat in (True, False))
    return caught, alarms


def main(arguments: list[str] | None = None) -> None:
    """Evaluate and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m generation.pocket.safety_evaluation", description=__doc__)
    parser.add_argument("--model", type=Path, default=FOLDER / "weights")
    parser.add_argument("--classifier", type=Path, default=FOLDER / "safety")
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--prompts", type=int, default=112, help="pictures that the model draws; one in seven of a cat")
    options = parser.parse_args(arguments)
    figures = evaluate_safety(options.model, options.classifier, options.scenes, options.prompts)
    sys.stdout.write(json.dumps(asdict(figures), indent=2) + "\n")


if __name__ == "__main__":
    main()
