"""The classifier that comes with the embedded model, on scenes of no training and on what the model draws."""

import random

import pytest
import torch
from safetensors import safe_open

from bot.config import PROGRAM_FOLDER
from generation.painter.safety import SafetyClassifier
from generation.pocket.drawing import render
from generation.pocket.evaluate import FOLDER, load_pipeline
from generation.pocket.safety_evaluation import CPU, THRESHOLD
from generation.pocket.safety_training import LABELS, UNWANTED, sample_guarded_scene
from generation.safety_labels import check_classifier

# diffusers' schedulers hand torch tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CLASSIFIER = FOLDER / "safety"


@pytest.fixture(scope="module")
def classifier() -> SafetyClassifier:
    return SafetyClassifier.load(str(CLASSIFIER), UNWANTED, CPU)


def test_its_weights_are_in_half_precision_and_small() -> None:
    path = CLASSIFIER / "model.safetensors"
    assert path.stat().st_size < 512 * 1024
    with safe_open(path, framework="pt") as file:
        kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118 - not a dict
    assert kinds <= {torch.float16, torch.int64}


def test_no_file_tells_where_it_was_made() -> None:
    for path in CLASSIFIER.rglob("*.json"):
        assert "name_or_path" not in path.read_text(encoding="utf-8"), path


def test_it_knows_the_label_that_the_docs_name() -> None:
    assert "cat" in LABELS
    check_classifier(str(CLASSIFIER), "cat")
    assert 'classifier = "generation/pocket/safety"\nlabel = "cat"' in (PROGRAM_FOLDER / "docs/safety.md").read_text()


def test_it_tells_scenes_with_a_cat_from_others(classifier: SafetyClassifier) -> None:
    """As measured: it is wrong in a few of a hundred."""
    rng = random.Random(4711)
    wrong = 0
    for _ in range(24):
        scene = sample_guarded_scene(rng)
        cat = any(subject.kind == UNWANTED for subject in scene.subjects)
        wrong += (classifier.score(render(scene)) >= THRESHOLD) != cat
    assert wrong <= 3


def test_it_finds_the_cats_that_the_model_draws_and_little_else(classifier: SafetyClassifier) -> None:
    pipeline, _ = load_pipeline(FOLDER / "weights")
    scores = {}
    for kind in (UNWANTED, "boat", "house", "tree"):
        picture = pipeline(
            f"a black {kind} on the grass by day",
            width=128,
            height=128,
            num_inference_steps=12,
            guidance_scale=4.5,
            generator=torch.Generator().manual_seed(8),
        ).images[0]
        scores[kind] = classifier.score(picture)
    assert scores.pop(UNWANTED) >= THRESHOLD
    assert sum(score >= THRESHOLD for score in scores.values()) <= 1
