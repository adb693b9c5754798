"""The two LoRAs: in the standard form, labelled, doing nothing at weight 0 and more with every step up."""

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from PIL import Image
from safetensors import safe_open

from generation.pocket import measure
from generation.pocket.evaluate import FOLDER, load_pipeline

pytestmark = [
    # diffusers' schedulers hand torch tensors to numpy in a way that numpy 2 warns of.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    # peft says so whenever a second LoRA is loaded beside the first, which is what is meant here.
    pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning"),
]

LORAS = FOLDER / "loras"
NAMES = ("neon", "blueprint")


def drawn(pipeline: StableDiffusionXLPipeline, prompt: str) -> Image.Image:
    image: Image.Image = pipeline(
        prompt,
        width=128,
        height=128,
        num_inference_steps=10,
        guidance_scale=4.5,
        generator=torch.Generator().manual_seed(11),
    ).images[0]
    return image


@pytest.mark.parametrize("name", NAMES)
def test_the_file_tells_its_trigger_word_and_base_model(name: str) -> None:
    with safe_open(LORAS / f"{name}.safetensors", framework="pt") as file:
        metadata, keys = file.metadata(), list(file.keys())
    assert metadata["modelspec.trigger_phrase"] == name
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert metadata["limner.base_model"] == "pocket"
    assert all(key.startswith("unet.") for key in keys)


@pytest.mark.parametrize("name", NAMES)
def test_both_levels_are_adapted(name: str) -> None:
    with safe_open(LORAS / f"{name}.safetensors", framework="pt") as file:
        keys = list(file.keys())
    for part in ("down_blocks.0.resnets", "down_blocks.1.attentions", "up_blocks.0.attentions", "up_blocks.1.resnets"):
        assert any(part in key for key in keys), part


@pytest.mark.parametrize("name", NAMES)
def test_weight_zero_is_the_base_and_the_distance_grows_with_the_weight(name: str) -> None:
    pipeline, _ = load_pipeline(FOLDER / "weights")
    prompt = f"a yellow house on grass at sunset, {name}"
    base = drawn(pipeline, prompt)
    pipeline.load_lora_weights(LORAS, weight_name=f"{name}.safetensors", adapter_name=name)
    distances = []
    for weight in (0.0, 0.35, 0.7, 1.0):
        pipeline.set_adapters([name], adapter_weights=[weight])
        distances.append(measure.distance(base, drawn(pipeline, prompt)))
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert distances[-1] > 10
    pipeline.unload_lora_weights()
    assert measure.distance(base, drawn(pipeline, prompt)) == 0


def test_both_at_once_are_mixed() -> None:
    pipeline, _ = load_pipeline(FOLDER / "weights")
    for name in NAMES:
        pipeline.load_lora_weights(LORAS, weight_name=f"{name}.safetensors", adapter_name=name)
    pictures = []
    for weights in ((1.0, 0.0), (0.0, 1.0), (0.6, 0.6)):
        pipeline.set_adapters(list(NAMES), adapter_weights=list(weights))
        pictures.append(drawn(pipeline, "a red boat on the sea"))
    neon, blueprint, both = pictures
    assert measure.distance(neon, both) > 3
    assert measure.distance(blueprint, both) > 3
