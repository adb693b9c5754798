"""Writes a diffusers SDXL pipeline as the single file that its original implementation reads.

The names are those of Stability AI's `generative-models`; the mapping is the inverse of what diffusers'
`from_single_file` does, for UNets with attention in some levels and two or more resnets a level.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

UNET_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "encoder.layers.": "transformer.resblocks.",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding": "token_embedding",
    "final_layer_norm": "ln_final",
}


def save_original(pipeline: Any, path: Path) -> None:
    parts = {
        "model.diffusion_model.": _unet(pipeline.unet),
        "first_stage_model.": _vae(pipeline.vae),
        "conditioner.embedders.0.transformer.text_model.": {
            name.removeprefix("text_model."): tensor for name, tensor in pipeline.text_encoder.state_dict().items()
        },
        "conditioner.embedders.1.model.": _open_clip(pipeline.text_encoder_2.state_dict()),
    }
    _save(parts, path)


def save_original_refiner(pipeline: Any, path: Path) -> None:
    """Of a refiner: the second text encoder is its first and only one. Its VAE is left out, as ours have none."""
    parts = {
        "model.diffusion_model.": _unet(pipeline.unet),
        "conditioner.embedders.0.model.": _open_clip(pipeline.text_encoder_2.state_dict()),
    }
    _save(parts, path)


def _save(parts: Mapping[str, Mapping[str, Tensor]], path: Path) -> None:
    save_file({start + name: t.contiguous() for start, part in parts.items() for name, t in part.items()}, path)


def _unet(unet: Any) -> dict[str, Tensor]:
    layers, levels = unet.config.layers_per_block, len(unet.config.block_out_channels)
    starts = dict(UNET_ENDS)
    for level in range(levels):
        for layer in range(layers):
            block = 1 + level * (layers + 1) + layer
            starts[f"down_blocks.{level}.resnets.{layer}"] = f"input_blocks.{block}.0"
            starts[f"down_blocks.{level}.attentions.{layer}"] = f"input_blocks.{block}.1"
        starts[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{(level + 1) * (layers + 1)}.0.op"
        for layer in range(layers + 1):
            block = level * (layers + 1) + layer
            starts[f"up_blocks.{level}.resnets.{layer}"] = f"output_blocks.{block}.0"
            starts[f"up_blocks.{level}.attentions.{layer}"] = f"output_blocks.{block}.1"
        sampler = 2 if hasattr(unet.up_blocks[level], "attentions") else 1
        starts[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{level * (layers + 1) + layers}.{sampler}.conv"
    starts |= {
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }
    return {
        _renamed(name, starts, {} if ".attentions." in name else UNET_RESNET): tensor
        for name, tensor in unet.state_dict().items()
    }


def _vae(vae: Any) -> dict[str, Tensor]:
    levels = len(vae.config.block_out_channels)
    starts = {}
    for side in ("encoder", "decoder"):
        starts |= {
            f"{side}.mid_block.resnets.0": f"{side}.mid.block_1",
            f"{side}.mid_block.resnets.1": f"{side}.mid.block_2",
            f"{side}.mid_block.attentions.0": f"{side}.mid.attn_1",
            f"{side}.conv_norm_out": f"{side}.norm_out",
        }
    for level in range(levels):
        starts |= {
            f"encoder.down_blocks.{level}.resnets": f"encoder.down.{level}.block",
            f"encoder.down_blocks.{level}.downsamplers.0": f"encoder.down.{level}.downsample",
            f"decoder.up_blocks.{level}.resnets": f"decoder.up.{levels - 1 - level}.block",
            f"decoder.up_blocks.{level}.upsamplers.0": f"decoder.up.{levels - 1 - level}.upsample",
        }
    renamed = {}
    for name, tensor in vae.state_dict().items():
        attention = "mid_block.attentions" in name
        new = _renamed(name, starts, VAE_ATTENTION if attention else {"conv_shortcut": "nin_shortcut"})
        # The original's attention is made of 1 × 1 convolutions.
        renamed[new] = tensor[:, :, None, None] if attention and tensor.ndim == 2 else tensor
    return renamed


def _open_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    renamed = {"text_projection": state["text_projection.weight"].T}
    for name, tensor in state.items():
        name = name.removeprefix("text_model.")
        if ".q_proj." in name:
            kind = name.rpartition(".")[2]
            three = [state["text_model." + name.replace("q_proj", f"{which}_proj")] for which in "qkv"]
            layer = name.split(".")[2]
            renamed[f"transformer.resblocks.{layer}.attn.in_proj_{kind}"] = torch.cat(three)
        elif ".k_proj." not in name and ".v_proj." not in name and not name.startswith("text_projection"):
            for ours, theirs in OPEN_CLIP.items():
                name = name.replace(ours, theirs)
            renamed[name] = tensor
    return renamed


def _renamed(name: str, starts: Mapping[str, str], rest: Mapping[str, str]) -> str:
    start = next((start for start in starts if name.startswith(start + ".")), "")
    tail = name.removeprefix(start)
    for ours, theirs in rest.items():
        tail = tail.replace(ours, theirs)
    return starts.get(start, "") + tail
