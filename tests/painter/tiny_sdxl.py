"""A real SDXL pipeline, so small that it paints in milliseconds: random weights, the real classes."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from generation.catalogue import EmbeddingSpec, LoraSpec, ModelSpec
from generation.engine.protocol import Batch, Painted, Picture, Progress, Task
from generation.engine.settings import PainterSettings
from generation.painter.devices import Placement
from generation.painter.held_models import HeldModels
from generation.painter.painter import Painter
from generation.recipe import Recipe

TEXT_WIDTHS = (32, 48)  # unlike each other, as SDXL's are: loaders tell the encoders apart by it
NATIVE_SIZE = 64


def build_pipeline(seed: int = 0) -> StableDiffusionXLPipeline:
    torch.manual_seed(seed)
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=77)

    def text_config(width: int) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=64,
            projection_dim=width,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=77,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    first, second = (
        CLIPTextModel(text_config(TEXT_WIDTHS[0])),
        CLIPTextModelWithProjection(text_config(TEXT_WIDTHS[1])),
    )
    # Random embeddings as faint as CLIP's would make every prompt the same.
    with torch.no_grad():
        for encoder in (first, second):
            getattr(encoder, "text_model", encoder).embeddings.token_embedding.weight.normal_(0, 1)
    unet = UNet2DConditionModel(
        sample_size=NATIVE_SIZE // 8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 64),
        layers_per_block=2,
        transformer_layers_per_block=1,
        cross_attention_dim=sum(TEXT_WIDTHS),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=TEXT_WIDTHS[1] + 6 * 8,
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


def build_refiner(seed: int = 1) -> StableDiffusionXLImg2ImgPipeline:
    """A model's refiner: another UNet, which the second text encoder alone speaks to, and without a VAE."""
    model = build_pipeline(seed)
    torch.manual_seed(seed)
    unet = UNet2DConditionModel.from_config(
        model.unet.config,
        cross_attention_dim=TEXT_WIDTHS[1],
        projection_class_embeddings_input_dim=TEXT_WIDTHS[1] + 5 * 8,
    )
    return StableDiffusionXLImg2ImgPipeline(
        vae=None,
        text_encoder=None,
        text_encoder_2=model.text_encoder_2,
        tokenizer=None,
        tokenizer_2=model.tokenizer_2,
        unet=unet,
        scheduler=model.scheduler,
        requires_aesthetics_score=True,
        add_watermarker=False,
    )


def spec_for(source: Path | str, **changes: object) -> ModelSpec:
    return ModelSpec(
        **{
            "name": "tiny",
            "source": str(source),
            "native_size": NATIVE_SIZE,
            "num_inference_steps": 4,
            "cross_attention_dim": sum(TEXT_WIDTHS),
            **changes,
        }
    )


def saving_memory() -> Painter:
    """A painter whose models' parts wait in main memory.

    The CPU stands in for the device: what moves where differs, the order of calls does not.
    """
    settings = PainterSettings(device="cpu")
    painter = Painter(settings)
    painter._models = HeldModels(settings, Placement(device=torch.device("cpu"), dtype=torch.float32, vram="medium"))
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
    embeddings: tuple[EmbeddingSpec, ...] = (),
    on_progress: Callable[[Progress], None] = lambda progress: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Painted:
    given = [*sources, *[None] * (len(recipes) - len(sources))]
    tasks = tuple(
        Task(job_id=number, recipe=one, source=source)
        for number, (one, source) in enumerate(zip(recipes, given, strict=True))
    )
    batch = Batch(tasks=tasks, model=model, loras=loras, embeddings=embeddings)
    return painter.paint(batch, on_progress=on_progress, cancelled=cancelled)


def pixels(picture: Picture) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Height × width × RGB, as whole numbers that can be subtracted."""
    return np.asarray(Image.open(BytesIO(picture.png)), dtype=np.int64)


def distance(one: Picture, other: Picture) -> float:
    """Mean difference a pixel and channel, in 255ths."""
    return float(np.abs(pixels(one) - pixels(other)).mean())
