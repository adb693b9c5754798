"""The image classifier in the painter: what it takes, how it looks, and that no picture passes it by."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from generation.catalogue import ModelSpec
from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable, PictureUnchecked
from generation.painter.devices import Placement
from generation.painter.painter import Painter
from generation.painter.safety import SafetyClassifier, views
from generation.picture import open_picture
from generation.recipe import Source
from tests.painter.tiny_classifier import save_red_seer, save_vit
from tests.painter.tiny_sdxl import NATIVE_SIZE, paint, recipe

CPU = Placement(device=torch.device("cpu"), dtype=torch.float32, vram="full")


@pytest.fixture(scope="module")
def red_seer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_red_seer(tmp_path_factory.mktemp("classifiers") / "red")


def half_red(width: int, height: int, box: tuple[int, int, int, int]) -> Image.Image:
    picture = Image.new("RGB", (width, height), "white")
    picture.paste("red", box)
    return picture


def load(folder: Path, label: str = "nsfw") -> SafetyClassifier:
    return SafetyClassifier.load(str(folder), label, CPU)


def test_its_score_is_the_labels_probability(red_seer: Path) -> None:
    bad, good = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "white")
    assert load(red_seer).score(bad) > 0.99
    assert load(red_seer).score(good) < 0.01
    assert load(red_seer, "normal").score(bad) < 0.01
    assert load(red_seer, "normal").score(good) > 0.99


def test_labels_that_do_not_exclude_each_other_have_each_their_own(tmp_path: Path) -> None:
    folder = save_red_seer(tmp_path, separate=True)
    bad = Image.new("RGB", (64, 64), "red")
    assert load(folder).score(bad) > 0.99
    assert load(folder, "normal").score(bad) == pytest.approx(0.5)  # its logit is 0


def test_a_vit_as_people_publish_them_is_taken(tmp_path: Path) -> None:
    folder = save_vit(tmp_path)
    both = [load(folder, label).score(Image.new("RGB", (64, 64), "grey")) for label in ("normal", "nsfw")]
    assert sum(both) == pytest.approx(1)


@pytest.mark.parametrize("size", [(192, 80), (80, 192)])
def test_the_ends_of_a_long_picture_are_looked_at(tmp_path: Path, size: tuple[int, int]) -> None:
    """Also by a network whose preprocessing cuts them off."""
    folder = save_red_seer(tmp_path, centre_only=True)
    width, height = size
    end = (width - 50, 0, width, height) if width > height else (0, height - 50, width, height)
    picture = half_red(width, height, end)
    assert load(folder).score(picture) > 0.9
    assert load(folder).score(Image.new("RGB", size, "white")) < 0.01


def test_views_cover_every_pixel_and_a_square_is_seen_once() -> None:
    assert len(list(views(Image.new("RGB", (64, 64))))) == 1
    assert len(list(views(Image.new("RGB", (80, 64))))) == 1
    for width, height in ((152, 104), (104, 152), (192, 80), (256, 64), (1344, 768)):
        gradient = Image.linear_gradient("L").rotate(90 if width > height else 0).resize((width, height))
        seen = {pixel for view in list(views(gradient))[1:] for pixel in view.tobytes()}
        assert seen == set(gradient.tobytes())


def test_another_label_is_refused_with_those_there_are(red_seer: Path) -> None:
    with pytest.raises(ModelUnavailable, match="it tells apart normal, nsfw, but knows no cat"):
        load(red_seer, "cat")


def test_what_is_no_classifier_is_refused(tmp_path: Path, red_seer: Path) -> None:
    with pytest.raises(ModelUnavailable, match="there is no folder"):
        load(tmp_path / "nothing")
    with pytest.raises(ModelUnavailable, match="broken or not those of an image classifier"):
        load(tmp_path)
    with pytest.raises(ModelUnavailable, match="broken or not those of an image classifier"):
        load(Path(__file__).parents[2] / "generation" / "pocket" / "upscaler")


def damaged(source: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_classifier_that_is_not_whole_is_refused(tmp_path: Path, red_seer: Path) -> None:
    """What is missing would be left as random numbers, and let anything through."""
    lacking = damaged(red_seer, tmp_path / "lacking")
    weights = load_file(lacking / "model.safetensors")
    del weights["classifier.1.weight"]
    save_file(weights, lacking / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match="weights are missing"):
        load(lacking)

    cut = damaged(red_seer, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((red_seer / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(ModelUnavailable):
        load(cut)

    blind = damaged(red_seer, tmp_path / "blind")
    (blind / "preprocessor_config.json").unlink()
    with pytest.raises(ModelUnavailable):
        load(blind)


def test_pickles_and_code_that_comes_with_weights_are_refused(tmp_path: Path, red_seer: Path) -> None:
    pickled = damaged(red_seer, tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailable):
        load(pickled)

    for file, key, value in (
        ("config.json", "AutoModelForImageClassification", "evil.Model"),
        ("preprocessor_config.json", "AutoImageProcessor", "evil.Processor"),
    ):
        folder = damaged(red_seer, tmp_path / key)
        config = json.loads((folder / file).read_text())
        # Where transformers knows the class itself it takes that one and not the stranger's.
        config |= {"auto_map": {key: value}, "model_type": "evil", "image_processor_type": "Evil"}
        (folder / file).write_text(json.dumps(config))
        (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        with pytest.raises(ModelUnavailable):
            load(folder)
    assert not (tmp_path / "ran").exists()


def test_a_classifier_that_says_no_number_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no number"):
        load(save_vit(tmp_path, broken=True))


def test_a_score_that_becomes_no_number_is_no_score(red_seer: Path) -> None:
    classifier = load(red_seer)
    with torch.no_grad():
        classifier._network.classifier[1].bias.fill_(torch.nan)
    with pytest.raises(PictureUnchecked):
        classifier.score(Image.new("RGB", (64, 64)))


# In the painter


def settings(classifier: Path, label: str = "nsfw") -> PainterSettings:
    return PainterSettings(device="cpu", classifier=str(classifier), classifier_label=label)


def test_a_painter_without_its_classifier_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="image classifier"):
        Painter(settings(tmp_path))


def test_every_picture_has_its_own_score(tiny: ModelSpec, red_seer: Path) -> None:
    recipes = [recipe(seed=seed) for seed in (1, 2)]
    painted = paint(Painter(settings(red_seer)), tiny, *recipes)
    classifier = load(red_seer)
    for picture in painted.pictures:
        assert picture.score == classifier.score(open_picture(picture.png).convert("RGB"))


def test_without_a_classifier_there_is_no_score(tiny: ModelSpec) -> None:
    [picture] = paint(Painter(PainterSettings(device="cpu")), tiny, recipe()).pictures
    assert picture.score is None


def test_a_picture_that_is_left_as_it_was_brought_is_looked_at_too(tiny: ModelSpec, red_seer: Path) -> None:
    """At strength 0 nothing is painted: what comes out is what somebody uploaded."""
    file = io.BytesIO()
    Image.new("RGB", (NATIVE_SIZE, NATIVE_SIZE), "red").save(file, "PNG")
    wanted = recipe(source=Source(digest="s", strength=0.1), num_inference_steps=1)
    assert wanted.steps_to_run == 0
    [picture] = paint(Painter(settings(red_seer)), tiny, wanted, sources=(file.getvalue(),)).pictures
    assert picture.score is not None
    assert picture.score > 0.99
