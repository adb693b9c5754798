"""A small network that tells what stands in a picture and how many: the evaluation's and the tests' judge of shape.

Trained on the renderer's scenes only, never on the model's own pictures. `python -m generation.pocket.classifier`
trains it and writes `classifier.safetensors`.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from generation.pocket.drawing import render
from generation.pocket.scenes import COLOURS, KINDS, PLACES, Kind, Scene, Style, Subject, sample_scene

WEIGHTS = Path(__file__).parent / "classifier.safetensors"
MOST_SUBJECTS = 3
FORMATS = ((128, 128), (128, 128), (152, 104), (104, 152))
# Recognising must not depend on the style, but the plain one is what is evaluated.
STYLES: tuple[Style, ...] = ("plain", "plain", "plain", "plain", "pastel", "ink")


class SubjectClassifier(nn.Module):
    """Pictures to logits of the seven kinds (each present or not) and of the numbers 0 to 3."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, stride: int) -> list[nn.Module]:
            convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]

        self.features = nn.Sequential(
            *block(3, 24, 2), *block(24, 48, 2), *block(48, 96, 2), *block(96, 96, 1), *block(96, 96, 1)
        )
        self.number_hidden = nn.Sequential(nn.Linear(192, 96), nn.ReLU())
        self.kind_head = nn.Linear(192, len(KINDS))
        self.number_head = nn.Linear(96, MOST_SUBJECTS + 1)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 3, height / 2, width / 2) in -1..1 to logits (n, 7) and (n, 4)."""
        features = self.features(pictures)
        pooled = torch.cat([features.amax((2, 3)), features.mean((2, 3))], dim=1)
        return self.kind_head(pooled), self.number_head(self.number_hidden(pooled))


@dataclass(slots=True, frozen=True, kw_only=True)
class Recognition:
    """What the classifier sees: the likeliest kinds, best first (as many as it counts, at least one), and how many."""

    kinds: tuple[Kind, ...]
    number: int

    @property
    def kind(self) -> Kind:
        return self.kinds[0]


def load_classifier(path: Path = WEIGHTS) -> SubjectClassifier:
    """The trained classifier, in float32, ready to be asked."""
    classifier = SubjectClassifier()
    classifier.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return classifier.eval()


@torch.no_grad()
def recognise(classifier: SubjectClassifier, images: list[Image.Image]) -> list[Recognition]:
    """Look at RGB pictures of a pocket size, one by one (they may differ in size)."""
    seen = []
    for image in images:
        kinds, number = classifier(_prepared(image)[None])
        count = int(number.argmax())
        best = kinds[0].argsort(descending=True)[: max(1, count)]
        seen.append(Recognition(kinds=tuple(KINDS[index] for index in best.tolist()), number=count))
    return seen


def _prepared(image: Image.Image) -> Tensor:
    pixels = np.asarray(image.convert("RGB").reduce(2), dtype=np.float32)
    return torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1


def sample_counted_scene(rng: random.Random, width: int, height: int) -> Scene:
    """A scene of 0 to 3 subjects; half of those with several show the same thing again, as a confused model does."""
    number = rng.choices(range(MOST_SUBJECTS + 1), (0.06, 0.56, 0.28, 0.10))[0]
    places = rng.sample(PLACES, number)
    kinds = rng.choices(KINDS, k=number)
    colours = rng.sample(COLOURS, number)
    if number and rng.random() < 0.5:
        kinds, colours = kinds[:1] * number, colours[:1] * number
    subjects = tuple(
        Subject(kind=kind, colour=colour, place=place)
        for kind, colour, place in zip(kinds, colours, places, strict=True)
    )
    return sample_scene(rng, width, height, style=rng.choice(STYLES), subjects=subjects, plain_framing=True)


def _examples(count: int, seed: int) -> dict[tuple[int, int], list[tuple[Image.Image, Scene]]]:
    rng = random.Random(seed)
    examples: dict[tuple[int, int], list[tuple[Image.Image, Scene]]] = {}
    for index in tqdm(range(count), desc="scenes", unit="scene"):
        size = FORMATS[index % len(FORMATS)]
        scene = sample_counted_scene(rng, *size)
        examples.setdefault(size, []).append((render(scene), scene))
    return examples


def train_classifier(minutes: float, examples: int, seed: int = 0) -> SubjectClassifier:
    """Train on `examples` rendered scenes, blurred and made noisy at random, for `minutes`."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    pool = _examples(examples, seed)
    classifier = SubjectClassifier()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3, weight_decay=1e-3)
    started, budget = time.process_time(), minutes * 60
    with tqdm(total=round(budget), desc="classifier", unit="s") as bar:
        while (spent := time.process_time() - started) < budget:
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * (1 - spent / budget) + 1e-5
            batch = rng.sample(pool[rng.choice(FORMATS)], 48)
            pictures = torch.stack([_prepared(_worn(image, rng)) for image, _ in batch])
            pictures = pictures + torch.randn_like(pictures) * 0.03
            present = torch.tensor([[kind in {s.kind for s in scene.subjects} for kind in KINDS] for _, scene in batch])
            numbers = torch.tensor([len(scene.subjects) for _, scene in batch])
            kinds, number = classifier(pictures)
            loss = nn.functional.binary_cross_entropy_with_logits(kinds, present.float())
            loss = 4 * loss + nn.functional.cross_entropy(number, numbers)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            bar.set_postfix(loss=f"{loss.item():.3f}")
            bar.update(round(spent) - bar.n)
    return classifier.eval()


def _worn(image: Image.Image, rng: random.Random) -> Image.Image:
    """Blurred at random, as what comes out of an autoencoder is, and mirrored half of the time."""
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.8)))


def held_out_accuracy(classifier: SubjectClassifier, count: int = 400, seed: int = 12345) -> tuple[float, float]:
    """Shares of unseen renders where the single subject's kind, and where the number of subjects, is told right."""
    rng = random.Random(seed)
    kinds_right, singles, numbers_right = 0, 0, 0
    for _ in range(count):
        scene = sample_counted_scene(rng, *rng.choice(FORMATS))
        seen = recognise(classifier, [render(scene)])[0]
        numbers_right += seen.number == len(scene.subjects)
        if len(scene.subjects) == 1:
            singles += 1
            kinds_right += seen.kind == scene.subjects[0].kind
    return kinds_right / singles, numbers_right / count


def main() -> None:
    """Train, measure, save in float16."""
    parser = argparse.ArgumentParser(prog="python -m generation.pocket.classifier", description=__doc__)
    parser.add_argument("--minutes", type=float, default=4.0, help="of processor time")
    parser.add_argument("--examples", type=int, default=8000)
    options = parser.parse_args()
    classifier = train_classifier(options.minutes, options.examples)
    save_file({name: tensor.half().contiguous() for name, tensor in classifier.state_dict().items()}, WEIGHTS)
    kinds, numbers = held_out_accuracy(load_classifier())
    sys.stdout.write(f"held-out renders: kind right in {kinds:.1%}, number right in {numbers:.1%}\n")


if __name__ == "__main__":
    main()
