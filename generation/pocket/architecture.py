"""Builds SDXL in small, out of the same classes: two CLIP text encoders, a `text_time` UNet, an f8 KL autoencoder."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, EulerDiscreteScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

# SDXL's own scaling factor: the autoencoder's whitening is folded into its weights instead, so that code written for
# SDXL's latents holds.
SCALING_FACTOR = 0.13025
VAE_SCALE = 8
LATENT_CHANNELS = 4

TEXT_LENGTH = 77
TEXT_WIDTHS = (64, 96)
UNET_WIDTHS = (64, 128)
TIME_ID_WIDTH = 32
TRAIN_TIMESTEPS = 1000


def build_vae() -> AutoencoderKL:
    """An autoencoder of 2.1 M parameters: RGB in -1..1 to 4 channels at an eighth of the size."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(24, 48, 96, 96),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        sample_size=128,
        mid_block_add_attention=False,
        force_upcast=False,
        scaling_factor=SCALING_FACTOR,
    )


def build_text_encoders(tokenizer: CLIPTokenizer) -> tuple[CLIPTextModel, CLIPTextModelWithProjection]:
    """Two text encoders of three layers; as in SDXL the second one also gives the pooled embedding."""

    def config(width: int) -> CLIPTextConfig:
        return CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            intermediate_size=4 * width,
            projection_dim=width,
            num_hidden_layers=3,
            num_attention_heads=width // 32,
            max_position_embeddings=TEXT_LENGTH,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )

    first, second = CLIPTextModel(config(TEXT_WIDTHS[0])), CLIPTextModelWithProjection(config(TEXT_WIDTHS[1]))
    # CLIP's own initialisation (0.02) is for long trainings; words this faint take thousands of steps to part.
    with torch.no_grad():
        for encoder in (first, second):
            embeddings = getattr(encoder, "text_model", encoder).embeddings
            embeddings.token_embedding.weight.normal_(0, 0.5)
            embeddings.position_embedding.weight.normal_(0, 0.1)
    return first, second


def build_unet() -> UNet2DConditionModel:
    """A UNet of 4.2 M parameters in two levels; as in SDXL only the lower level attends to the words."""
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=UNET_WIDTHS,
        layers_per_block=1,
        transformer_layers_per_block=1,
        cross_attention_dim=sum(TEXT_WIDTHS),
        attention_head_dim=tuple(width // 32 for width in UNET_WIDTHS),
        use_linear_projection=True,
        norm_num_groups=16,
        addition_embed_type="text_time",
        addition_time_embed_dim=TIME_ID_WIDTH,
        projection_class_embeddings_input_dim=TEXT_WIDTHS[1] + 6 * TIME_ID_WIDTH,
    )


def build_scheduler() -> EulerDiscreteScheduler:
    """SDXL's noise schedule, but for a model that predicts v: it must hold in every scheduler made from this config."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        num_train_timesteps=TRAIN_TIMESTEPS,
        prediction_type="v_prediction",
        timestep_spacing="leading",
        steps_offset=1,
        interpolation_type="linear",
    )
