"""The network that finds things by words, in rendered scenes and in what the model draws."""

import random

import numpy as np
import pytest
import torch
from safetensors import safe_open

from generation.painter.segmentation import Segmenter
from generation.pocket.drawing import FIRST_SUBJECT, render, render_labels
from generation.pocket.evaluate import FOLDER, load_pipeline
from generation.pocket.evaluate_extras import CPU, find, overlap
from generation.pocket.scenes import Subject, sample_scene
from generation.pocket.segmentation_training import through_autoencoder

# diffusers' schedulers hand torch tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODEL, SEGMENTER = FOLDER / "weights", FOLDER / "segmenter"
RED_BOAT = (Subject(kind="boat", colour="red", place="centre"),)


def test_its_weights_are_in_half_precision_and_small() -> None:
    path = SEGMENTER / "model.safetensors"
    assert path.stat().st_size < 2 * 1024**2
    with safe_open(path, framework="pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118 - not a dict
    assert kinds <= {torch.float16, torch.int64}


def test_no_file_tells_where_it_was_made() -> None:
    for path in SEGMENTER.rglob("*.json"):
        assert "name_or_path" not in path.read_text(encoding="utf-8"), path


def test_words_find_the_boat_and_mostly_no_cat() -> None:
    """As measured: the subject overlaps by 0.7 in the mean, and what is not there is found in one picture of five."""
    segmenter, vae = Segmenter.load(str(SEGMENTER), CPU), load_pipeline(MODEL)[0].vae
    rng = random.Random(77)
    boats, cats = [], []
    for _ in range(8):
        scene = sample_scene(rng, subjects=RED_BOAT, style="plain", plain_framing=True)
        picture = through_autoencoder(vae, render(scene))
        boats.append(overlap(find(segmenter, picture, "the boat"), render_labels(scene) == FIRST_SUBJECT))
        cats.append(find(segmenter, picture, "the cat").any())
        assert find(segmenter, picture, "sky")[:20].mean() > 0.9
    assert np.mean(boats) > 0.6
    assert sum(cats) <= 3


def test_words_find_what_the_model_drew() -> None:
    base, _ = load_pipeline(MODEL)
    picture = base(
        "a red boat on the sea by day",
        width=128,
        height=128,
        num_inference_steps=12,
        guidance_scale=4.5,
        generator=torch.Generator().manual_seed(5),
    ).images[0]
    segmenter = Segmenter.load(str(SEGMENTER), CPU)
    found = find(segmenter, picture, "boat")
    assert 0.02 < found.mean() < 0.35
    pixels = np.asarray(picture).astype(int)
    red = (pixels[..., 0] > 150) & (pixels[..., 1] < 90)
    assert found[red].mean() > 0.8
    assert not find(segmenter, picture, "cat").any()
    assert find(segmenter, picture, "sea")[-10:].mean() > 0.9
