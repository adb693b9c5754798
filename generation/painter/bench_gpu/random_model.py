"""An SDXL model of random weights, built from its configuration: as fast as the real one, and nothing to download.

Written from the configuration that Stability AI publishes with SDXL 1.0; `MID` and `SMALL` are the same network with
fewer channels and layers, for a trial on a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from generation.catalogue import LoraSpec, ModelSpec

HEAD = 64  # channels of an attention head, in SDXL's UNet
TIME_IDS = 6  # numbers that say a picture's size and crop
CHUNK = 77
LORA_RANK = 16
LORA_TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSize:
    """One CLIP text encoder."""

    width: int
    layers: int
    heads: int
    activation: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How large the parts are. `channels` and `transformer_layers` are the UNet's, by level."""

    native_size: int
    channels: tuple[int, int, int]
    transformer_layers: tuple[int, int, int]
    size_embedding: int
    vae_channels: tuple[int, int, int, int]
    vocabulary: int
    texts: tuple[TextSize, TextSize]

    @property
    def text_width(self) -> int:
        """Of both encoders' embeddings together."""
        return sum(text.width for text in self.texts)

    @property
    def pooled_width(self) -> int:
        """Of the second encoder's projection."""
        return self.texts[1].width

    def spec(self, source: Path | str, *, steps: int, max_batch: int) -> ModelSpec:
        """The model of this size that lies there."""
        return ModelSpec(
            name="random",
            source=str(source),
            native_size=self.native_size,
            num_inference_steps=steps,
            guidance_scale=5.0,
            cross_attention_dim=self.text_width,
            max_batch=max_batch,
        )


SDXL = Size(
    native_size=1024,
    channels=(320, 640, 1280),
    transformer_layers=(1, 2, 10),  # the first level has no attention
    size_embedding=256,
    vae_channels=(128, 256, 512, 512),
    vocabulary=49408,
    texts=(
        TextSize(width=768, layers=12, heads=12, activation="quick_gelu"),
        TextSize(width=1280, layers=32, heads=20, activation="gelu"),
    ),
)
MID = Size(
    native_size=128,
    channels=(64, 128, 256),
    transformer_layers=(1, 1, 3),
    size_embedding=64,
    vae_channels=(32, 64, 64, 64),
    vocabulary=1024,
    texts=(
        TextSize(width=128, layers=4, heads=4, activation="quick_gelu"),
        TextSize(width=192, layers=4, heads=4, activation="gelu"),
    ),
)
SMALL = Size(
    native_size=64,
    channels=(64, 64, 128),
    transformer_layers=(1, 1, 1),
    size_embedding=16,
    vae_channels=(32, 32, 32, 32),
    vocabulary=1024,
    texts=(
        TextSize(width=32, layers=3, heads=4, activation="quick_gelu"),
        TextSize(width=48, layers=3, heads=4, activation="gelu"),
    ),
)
SIZES = {"sdxl": SDXL, "mid": MID, "small": SMALL}


def build_unet(size: Size) -> Any:
    """The UNet alone, on the default device."""
    return UNet2DConditionModel(
        sample_size=size.native_size // 8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=size.channels,
        layers_per_block=2,
        transformer_layers_per_block=size.transformer_layers,
        attention_head_dim=tuple(channels // HEAD for channels in size.channels),  # the number of heads, in truth
        cross_attention_dim=size.text_width,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=size.size_embedding,
        projection_class_embeddings_input_dim=size.pooled_width + TIME_IDS * size.size_embedding,
    )


def build_vae(size: Size) -> Any:
    """The VAE alone, on the default device."""
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=size.vae_channels,
        layers_per_block=2,
        sample_size=size.native_size,
        scaling_factor=0.13025,
        force_upcast=True,
    )


def build_text_encoders(size: Size, tokenizer: Any) -> tuple[Any, Any]:
    """Both text encoders, on the default device."""
    first, second = size.texts
    return (
        CLIPTextModel(_text_config(first, size.vocabulary, tokenizer)),
        CLIPTextModelWithProjection(_text_config(second, size.vocabulary, tokenizer)),
    )


def build_tokenizer() -> Any:
    """One that knows letters alone: a token each."""
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[], model_max_length=CHUNK)


def save_model(size: Size, folder: Path, *, device: torch.device, dtype: torch.dtype) -> None:
    """Build a model on that device in that number format, and save it as a diffusers folder (SDXL: 7 GB)."""
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            unet, vae = build_unet(size), build_vae(size)
            tokenizer = build_tokenizer()
            first, second = build_text_encoders(size, tokenizer)
    finally:
        torch.set_default_dtype(before)
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        timestep_spacing="leading",
        steps_offset=1,
    )
    StableDiffusionXLPipeline(
        vae=vae,
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=scheduler,
        add_watermarker=False,
    ).to(dtype).save_pretrained(folder)


def save_lora(size: Size, folder: Path, name: str, *, seed: int) -> LoraSpec:
    """A random LoRA on all attention of the UNet, as most are: 4 matrices a layer, of rank 16."""
    with torch.device("meta"):
        unet = build_unet(size)
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for module_name, module in unet.named_modules():
        if isinstance(module, torch.nn.Linear) and module_name.endswith(LORA_TARGETS):
            down = torch.randn(LORA_RANK, module.in_features, generator=generator) * 0.01
            up = torch.randn(module.out_features, LORA_RANK, generator=generator) * 0.01
            tensors[f"unet.{module_name}.lora_A.weight"] = down.half()
            tensors[f"unet.{module_name}.lora_B.weight"] = up.half()
    path = folder / f"{name}.safetensors"
    save_file(tensors, path)
    return LoraSpec(name=name, path=path, cross_attention_dim=size.text_width)


def _text_config(text: TextSize, vocabulary: int, tokenizer: Any) -> Any:
    return CLIPTextConfig(
        vocab_size=max(vocabulary, len(tokenizer)),
        hidden_size=text.width,
        intermediate_size=4 * text.width,
        projection_dim=text.width,
        num_hidden_layers=text.layers,
        num_attention_heads=text.heads,
        max_position_embeddings=CHUNK,
        hidden_act=text.activation,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
