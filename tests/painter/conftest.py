"""A real SDXL pipeline, so small that it paints in milliseconds: random weights, made once and saved on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from generation.catalogue import LoraSpec, ModelSpec
from generation.engine.protocol import Batch, Painted, Progress, Task
from generation.engine.settings import PainterSettings
from generation.painter.painter import Painter
from generation.recipe import LoraUse, Recipe, Source

TEXT_WIDTH = 32
NATIVE_SIZE = 64


def build_pipeline(seed: int = 0) -> StableDiffusionXLPipeline:
    torch.manual_seed(seed)
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=64,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        hidden_act="gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    unet = UNet2DConditionModel(
        sample_size=NATIVE_SIZE // 8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=2,
        transformer_layers_per_block=1,
        cross_attention_dim=2 * TEXT_WIDTH,
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=TEXT_WIDTH + 6 * 8,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 16, 16),
        layers_per_block=1,
        norm_num_groups=4,
        sample_size=NATIVE_SIZE,
        scaling_factor=0.13025,
    )
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="leading",
        steps_offset=1,
        prediction_type="v_prediction",
    )
    first, second = CLIPTextModel(text), CLIPTextModelWithProjection(text)
    # Random embeddings as faint as CLIP's would make every prompt the same.
    with torch.no_grad():
        for encoder in (first, second):
            getattr(encoder, "text_model", encoder).embeddings.token_embedding.weight.normal_(0, 1)
    return StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
    )


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tests run side by side; torch's threads would only stand in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    pipeline = build_pipeline()
    pipeline.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> ModelSpec:
    return spec_for(tiny_folder)


def spec_for(source: Path | str, **changes: object) -> ModelSpec:
    return ModelSpec(
        **{
            "name": "tiny",
            "source": str(source),
            "native_size": NATIVE_SIZE,
            "num_inference_steps": 4,
            "cross_attention_dim": 2 * TEXT_WIDTH,
            **changes,
        }
    )


@pytest.fixture(scope="session")
def painter(tiny: ModelSpec) -> Painter:
    """One painter for all tests: what one test leaves behind must not show in the next."""
    painter = Painter(PainterSettings(device="cpu"))
    painter.load(tiny)
    return painter


def recipe(prompt: str = "a boat", **changes: object) -> Recipe:
    return Recipe(
        **{
            "prompt": prompt,
            "model": "tiny",
            "width": NATIVE_SIZE,
            "height": NATIVE_SIZE,
            "seed": 7,
            "num_inference_steps": 4,
            "guidance_scale": 5.0,
            **changes,
        }
    )


def paint(
    painter: Painter,
    model: ModelSpec,
    *recipes: Recipe,
    sources: tuple[bytes, ...] = (),
    loras: tuple[LoraSpec, ...] = (),
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Painted:
    given = [*sources, *[None] * (len(recipes) - len(sources))]
    tasks = tuple(
        Task(job_id=number, recipe=one, source=source)
        for number, (one, source) in enumerate(zip(recipes, given, strict=True))
    )
    batch = Batch(tasks=tasks, model=model, loras=loras)
    return painter.paint(batch, on_progress=on_progress, cancelled=cancelled)


__all__ = ["LoraUse", "Source", "build_pipeline", "paint", "recipe", "spec_for"]
