"""Trains the pocket image classifier, which tells pictures with a cat from others.

It stands where a server has a classifier for what its people must not see, so that image safety can be tried and tested
on a fresh machine: nobody is harmed by a cat. Trained on rendered scenes, half of them as the model's autoencoder gives
them back, looked at as the painter's `SafetyClassifier` looks: whole and in squares.
"""

from __future__ import annotations

import copy
import random
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from torch import Tensor, nn
from tqdm import tqdm
from transformers import ResNetConfig, ResNetForImageClassification, ViTImageProcessorPil

from generation.painter.safety import views
from generation.pocket.drawing import FIRST_SUBJECT, render, render_labels
from generation.pocket.export import strip_local_paths
from generation.pocket.scenes import BASE_STYLES, COLOURS, KINDS, PLACES, Kind, Scene, Subject, sample_scene
from generation.pocket.segmentation_training import through_autoencoder
from generation.pocket.training_loop import Checkpoint, train
from generation.pocket.training_run import TrainingRun
from generation.pocket.vae_training import to_tensor

LABELS = ("other", "cat")
UNWANTED: Kind = "cat"
SIZE = 96
SCENES = 2400
FORMATS = ((128, 128), (128, 128), (152, 104), (104, 152), (168, 96), (96, 168), (192, 80))
STYLE_WEIGHTS = (0.55, 0.15, 0.1, 0.2)
BATCH_SIZE = 32
# A square that shows less of the cat than the first share shows no cat, and with more than the second it does. What is
# between the two is not learned from.
HIDDEN_SHARE, SEEN_SHARE = 0.1, 0.7
PEAK_LEARNING_RATE = 3e-3
WEIGHT_AVERAGE_DECAY = 0.99

Example = tuple[NDArray[np.uint8], int]


def safety_checkpoint(work: Path) -> Path:
    return work / "safety.pt"


def build_classifier() -> ResNetForImageClassification:
    """A ResNet of 0.2 M parameters, which tells two kinds of pictures apart."""
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=24,
            hidden_sizes=[24, 48, 96],
            depths=[1, 1, 1],
            layer_type="basic",
            id2label=dict(enumerate(LABELS)),
            label2id={label: index for index, label in enumerate(LABELS)},
        )
    )


def train_safety(work: Path, model: Path, folder: Path, minutes: float, seed: int) -> None:
    """Train for `minutes` of processor time in all, going on from the checkpoint in `work`, and write to `folder`."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    examples = list(sample_examples(model, random.Random(f"safety/{seed}")))
    network = build_classifier()
    average = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), lr=PEAK_LEARNING_RATE, weight_decay=0.02, fused=True)
    run = TrainingRun(
        name="safety",
        budget_seconds=minutes * 60,
        peak_learning_rate=PEAK_LEARNING_RATE,
        clock=time.process_time,
        checkpoint_every_seconds=30,
    )
    checkpoint = Checkpoint(safety_checkpoint(work), network=network, average=average, optimizer=optimizer, run=run)
    checkpoint.load()
    rng = random.Random(f"safety/{seed}/{run.step}")

    def loss() -> Tensor:
        pictures, labels = _batch(examples, rng)
        logits = network(pixel_values=pictures).logits
        # Smoothed: the score shall say how sure it is, and renders are easier than what the model draws.
        return nn.functional.cross_entropy(logits, labels, label_smoothing=0.05)

    network.train()
    train(
        run,
        optimizer,
        loss,
        save=checkpoint.save,
        follow=lambda step: _follow(average, network),
        largest_gradient=None,
    )
    average.eval().half().save_pretrained(folder)
    ViTImageProcessorPil(
        size={"height": SIZE, "width": SIZE}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    ).save_pretrained(folder)
    for path in folder.rglob("*.json"):
        strip_local_paths(path)


@torch.no_grad()
def _follow(average: ResNetForImageClassification, network: ResNetForImageClassification) -> None:
    """Move the running average of the weights towards them; what counts batches is taken as it is."""
    for mean, tensor in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if tensor.is_floating_point():
            mean.lerp_(tensor, 1 - WEIGHT_AVERAGE_DECAY)
        else:
            mean.copy_(tensor)


def sample_examples(model: Path, rng: random.Random) -> list[Example]:
    """What the classifier is shown of scenes, (96, 96, 3), each with 1 where there is a cat and 0 elsewhere."""
    vae = AutoencoderKL.from_pretrained(model / "vae", torch_dtype=torch.float32)
    examples: list[Example] = []
    for index in tqdm(range(SCENES), desc="safety scenes", unit="scene"):
        scene = sample_guarded_scene(rng)
        picture = render(scene)
        if index % 2 == 0:
            picture = through_autoencoder(vae, picture)
        cats = Image.fromarray(np.where(cat_pixels(scene), 255, 0).astype(np.uint8))
        whole = _white(cats)
        for view, cats_there in zip(views(picture), views(cats), strict=True):
            share = _white(cats_there) / max(1, whole)
            if HIDDEN_SHARE < share < SEEN_SHARE:
                continue
            squeezed = view.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
            examples.append((np.asarray(squeezed), int(share >= SEEN_SHARE)))
    return examples


def _white(mask: Image.Image) -> int:
    return int(np.count_nonzero(np.asarray(mask)))


def sample_guarded_scene(rng: random.Random) -> Scene:
    """A scene of one or two subjects, half of the time with a cat among them."""
    kinds = list(rng.choices([kind for kind in KINDS if kind != UNWANTED], k=rng.choices((1, 2), (0.75, 0.25))[0]))
    if rng.random() < 0.5:
        kinds[rng.randrange(len(kinds))] = UNWANTED
    places = rng.sample(PLACES, len(kinds))
    colours = rng.sample(COLOURS, len(kinds))
    return sample_scene(
        rng,
        *rng.choice(FORMATS),
        style=rng.choices(BASE_STYLES, STYLE_WEIGHTS)[0],
        subjects=tuple(
            Subject(kind=kind, colour=colour, place=place)
            for kind, colour, place in zip(kinds, colours, places, strict=True)
        ),
        plain_framing=True,
    )


def cat_pixels(scene: Scene) -> NDArray[np.bool_]:
    """Where the scene's picture shows a cat, (height, width)."""
    cats = [FIRST_SUBJECT + index for index, subject in enumerate(scene.subjects) if subject.kind == UNWANTED]
    return np.isin(render_labels(scene), cats)


def _batch(examples: list[Example], rng: random.Random) -> tuple[Tensor, Tensor]:
    """Pictures (n, 3, 96, 96) in -1..1 and their labels (n); mirrored and blurred at random, lighter or darker."""
    pictures, labels = [], []
    for pixels, label in rng.sample(examples, BATCH_SIZE):
        blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(rng.choice((0, 0, rng.uniform(0, 1)))))
        pictures.append(np.asarray(blurred)[:, :: rng.choice((1, -1))])
        labels.append(label)
    light = torch.tensor([rng.uniform(0.85, 1.15) for _ in pictures]).view(-1, 1, 1, 1)
    seen = to_tensor(np.stack(pictures)).contiguous()
    return (seen * light).clamp(-1, 1), torch.tensor(labels)
