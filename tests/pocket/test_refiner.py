"""The refiner: of the form of SDXL's, sharing latents and words with the model, keeping what it finishes."""

import pytest
import torch
from safetensors import safe_open

from generation.pocket import measure
from generation.pocket.evaluate import FOLDER, load_pipeline
from generation.pocket.evaluate_extras import load_refiner, paint_refined

# diffusers' schedulers hand torch tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODEL, REFINER = FOLDER / "weights", FOLDER / "refiner"


def test_its_weights_are_in_half_precision_and_smaller_than_the_models() -> None:
    with safe_open(REFINER / "unet/diffusion_pytorch_model.safetensors", framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118 - not a dict
    refiner, model = (
        (folder / "unet/diffusion_pytorch_model.safetensors").stat().st_size for folder in (REFINER, MODEL)
    )
    assert refiner < 0.8 * model


def test_no_file_tells_where_it_was_made() -> None:
    for path in REFINER.rglob("*.json"):
        assert "name_or_path" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("part", ["vae/diffusion_pytorch_model.safetensors", "text_encoder_2/model.safetensors"])
def test_the_refiner_shares_latents_and_words_with_the_model(part: str) -> None:
    assert (REFINER / part).read_bytes() == (MODEL / part).read_bytes()


def test_the_refiner_is_of_the_form_of_sdxls() -> None:
    refiner = load_refiner(REFINER)
    assert refiner.text_encoder is None
    assert refiner.config.requires_aesthetics_score
    assert refiner.unet.config.cross_attention_dim == refiner.text_encoder_2.config.hidden_size


def test_the_refiner_keeps_the_picture_that_it_finishes() -> None:
    base, _ = load_pipeline(MODEL)
    refiner = load_refiner(REFINER)
    settings = {"width": 128, "height": 128, "num_inference_steps": 10, "guidance_scale": 4.5}
    prompt = "a red house in the snow by day"
    finished = base(prompt, generator=torch.Generator().manual_seed(4), **settings).images[0]
    refined = [paint_refined(base, refiner, prompt, 4, share, **settings) for share in (0.2, 0.3)]
    assert all(0 < measure.distance(finished, image) < 6 for image in refined)
    assert all(measure.ground(image) == "snow" and measure.sky(image) == "day" for image in refined)
    assert all(measure.subject_colour(image) == "red" for image in refined)
