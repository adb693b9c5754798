"""The few-step LoRA: in the standard form, without a trigger word, and its six steps show what was said."""

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors import safe_open

from generation.loras import read_lora
from generation.pocket import measure
from generation.pocket.classifier import load_classifier
from generation.pocket.evaluate import DRAFT, DRAFT_LORA, FOLDER, add_draft_lora, draw, judge, load_pipeline
from generation.pocket.evaluation_prompts import single_subject_prompts

# diffusers' schedulers hand torch tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def pipeline() -> StableDiffusionXLPipeline:
    loaded, _ = load_pipeline(FOLDER / "weights")
    add_draft_lora(loaded, DRAFT_LORA)
    return loaded


def test_the_file_is_a_lora_without_a_trigger_word() -> None:
    lora = read_lora(DRAFT_LORA)
    assert lora.name == "pocket-lcm"
    assert lora.trigger == ""
    assert lora.cross_attention_dim == 160
    with safe_open(DRAFT_LORA, framework="pt") as file:
        assert file.metadata()["limner.base_model"] == "pocket"
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.float16}  # noqa: SIM118 - not a dict


def test_six_steps_without_guidance_show_what_was_said(pipeline: StableDiffusionXLPipeline) -> None:
    prompts = [prompt for prompt in single_subject_prompts(72) if (prompt.width, prompt.height) == (128, 128)][:24]
    agreement = judge(load_classifier(), prompts, draw(pipeline, DRAFT, prompts, "drafts"))
    assert agreement.colour >= 0.8
    assert agreement.place >= 0.8
    assert agreement.ground >= 0.9
    assert agreement.sky >= 0.9
    assert agreement.subject >= 0.8
    assert agreement.one_subject >= 0.8


def test_guidance_is_folded_in(pipeline: StableDiffusionXLPipeline) -> None:
    """With the LoRA alone a picture is nearer to the guided one than without it."""
    settings = {"width": 128, "height": 128, "num_inference_steps": DRAFT.num_inference_steps}
    seen = {}
    for name, weight, guidance in (("guided", 0.0, 4.5), ("plain", 0.0, 1.0), ("draft", 1.0, 1.0)):
        pipeline.set_adapters([DRAFT_LORA.stem], adapter_weights=[weight])
        generators = [torch.Generator().manual_seed(seed) for seed in range(4)]
        seen[name] = pipeline(
            [
                "a red house on grass by day",
                "a purple cat in the snow",
                "a green boat on the sea",
                "a blue ball on sand",
            ],
            generator=generators,
            guidance_scale=guidance,
            **settings,
        ).images
    pipeline.set_adapters([DRAFT_LORA.stem], adapter_weights=[1.0])

    def gap(name: str) -> float:
        return sum(measure.distance(a, b) for a, b in zip(seen[name], seen["guided"], strict=True))

    assert gap("draft") < gap("plain")
