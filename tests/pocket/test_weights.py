"""The weights in the repository: they load unchanged, are small, and tell nothing of the machine that made them."""

import json
import re
from dataclasses import fields

import numpy as np
import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionXLPipeline
from PIL import Image
from safetensors import safe_open

from generation.pocket import measure
from generation.pocket.classifier import held_out_accuracy, load_classifier
from generation.pocket.evaluate import FOLDER, Evaluation, Settings, draw, judge, load_pipeline, weights_mb
from generation.pocket.evaluation_prompts import single_subject_prompts

# diffusers' schedulers hand torch tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODEL = FOLDER / "weights"
LORAS = FOLDER / "loras"
FAST = Settings(num_inference_steps=12, guidance_scale=4.5)


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionXLPipeline:
    return load_pipeline(MODEL)[0]


def drawn(
    pipeline: StableDiffusionXLPipeline, prompts: list[str], seeds: list[int], **extra: object
) -> list[Image.Image]:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    settings = {"num_inference_steps": 8, "guidance_scale": 4.5, "width": 128, "height": 128, **extra}
    images: list[Image.Image] = pipeline(prompts, generator=generators, **settings).images
    return images


def test_plain_diffusers_loads_the_folder_as_it_is() -> None:
    loaded = StableDiffusionXLPipeline.from_pretrained(MODEL, dtype=torch.float32)
    assert loaded.scheduler.config.prediction_type == "v_prediction"
    assert loaded.vae.config.scaling_factor == 0.13025
    assert loaded.unet.config.addition_embed_type == "text_time"


def test_all_weights_together_are_small() -> None:
    assert weights_mb(MODEL) <= 25
    assert (FOLDER / "classifier.safetensors").stat().st_size < 1_000_000


def test_weights_are_in_half_precision() -> None:
    for path in [*MODEL.rglob("*.safetensors"), *LORAS.glob("*.safetensors")]:
        with safe_open(path, framework="pt") as file:
            kinds = {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118 - not a dict
        assert kinds <= {torch.float16, torch.int64}, path.name


def test_no_file_tells_where_it_was_made() -> None:
    for path in [*MODEL.rglob("*.json"), *MODEL.rglob("*.txt")]:
        text = path.read_text(encoding="utf-8")
        assert "name_or_path" not in text, path.name
        assert not re.search(r"/(home|work|tmp|root|Users)/", text), path.name


def test_settings_for_limner() -> None:
    settings = json.loads((MODEL / "limner.json").read_text(encoding="utf-8"))
    assert settings["name"] == "pocket"
    assert settings["native_size"] == 128
    assert np.array(settings["latents_to_rgb"]["matrix"]).shape == (4, 3)
    assert np.array(settings["latents_to_rgb"]["bias"]).shape == (3,)


def test_preview_of_the_last_latents_resembles_the_picture(pipeline: StableDiffusionXLPipeline) -> None:
    seen: list[torch.Tensor] = []

    def keep(_: object, step: int, timestep: int, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        seen.append(tensors["latents"])
        return tensors

    image = drawn(pipeline, ["a red boat on the sea by day"], [1], callback_on_step_end=keep)[0]
    preview_map = json.loads((MODEL / "limner.json").read_text(encoding="utf-8"))["latents_to_rgb"]
    latents = seen[-1][0].permute(1, 2, 0).numpy()
    preview = (latents @ np.array(preview_map["matrix"]) + np.array(preview_map["bias"])).clip(0, 1)
    small = np.asarray(image.resize((16, 16), Image.Resampling.BOX)) / 255
    assert np.abs(preview - small).mean() < 0.15


def test_pictures_show_what_prompts_say(pipeline: StableDiffusionXLPipeline) -> None:
    prompts = [prompt for prompt in single_subject_prompts(72) if (prompt.width, prompt.height) == (128, 128)][:24]
    agreement = judge(load_classifier(), prompts, draw(pipeline, FAST, prompts, "pictures"))
    assert agreement.colour >= 0.75
    assert agreement.place >= 0.7
    assert agreement.ground >= 0.75
    assert agreement.sky >= 0.75
    assert agreement.subject >= 0.7
    assert agreement.one_subject >= 0.7


def test_ink_is_black_and_white(pipeline: StableDiffusionXLPipeline) -> None:
    images = drawn(pipeline, ["ink drawing, a red house on grass", "a blue cat in the snow, ink"], [1, 2])
    assert all(measure.is_near_grey(image) for image in images)


def test_a_seed_repeats_its_picture_and_another_seed_does_not(pipeline: StableDiffusionXLPipeline) -> None:
    first, again, other = (drawn(pipeline, ["a red boat on the sea"], [seed])[0] for seed in (7, 7, 8))
    assert measure.distance(first, again) == 0
    assert measure.distance(first, other) > 2


def test_a_picture_does_not_depend_on_its_neighbours_in_the_batch(pipeline: StableDiffusionXLPipeline) -> None:
    prompts = ["a red boat on the sea", "a blue house on grass at night", "ink drawing, a cat", "a green cube on sand"]
    together = drawn(pipeline, prompts, [1, 2, 3, 4])
    alone = [drawn(pipeline, [prompt], [seed])[0] for seed, prompt in enumerate(prompts, start=1)]
    assert max(measure.distance(a, b) for a, b in zip(alone, together, strict=True)) <= 2


@pytest.mark.parametrize(("width", "height"), [(152, 104), (104, 152), (168, 96), (96, 168), (192, 80)])
def test_every_bucket_can_be_drawn(pipeline: StableDiffusionXLPipeline, width: int, height: int) -> None:
    image = drawn(pipeline, ["a red boat on the sea"], [1], width=width, height=height, num_inference_steps=2)[0]
    assert image.size == (width, height)


def test_another_scheduler_from_the_same_config_draws_too(pipeline: StableDiffusionXLPipeline) -> None:
    original = pipeline.scheduler
    try:
        pipeline.scheduler = DPMSolverMultistepScheduler.from_config(original.config)
        image = drawn(pipeline, ["a red house in the snow by day"], [3], num_inference_steps=10)[0]
    finally:
        pipeline.scheduler = original
    assert measure.ground(image) == "snow"
    assert measure.sky(image) == "day"


def test_the_classifier_recognises_unseen_renders() -> None:
    kinds, numbers = held_out_accuracy(load_classifier(), count=200, seed=99)
    assert kinds >= 0.98
    assert numbers >= 0.95


def test_the_evaluation_reports_these_figures() -> None:
    shares = {"colour", "place", "ground", "sky", "subject", "one_subject", "ink_grey", "two_subjects"}
    others = {"colour_without_guidance", "seconds_for_four", "weights_mb"}
    assert shares | others <= {field.name for field in fields(Evaluation)}
