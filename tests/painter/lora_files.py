"""Writes LoRA files for the tiny model, in both ways of naming their tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file

from generation.catalogue import LoraSpec
from generation.loras import read_lora
from tests.painter.tiny_sdxl import build_pipeline

UNET_MODULES = ["to_q", "to_k", "to_v", "to_out.0", "conv1"]
TEXT_MODULES = ["q_proj", "v_proj"]


def save_lora(folder: Path, name: str, *, seed: int, text_encoders: bool = False) -> LoraSpec:
    """A random LoRA of rank 4 as diffusers and peft write it."""
    pipeline = build_pipeline()
    torch.manual_seed(seed)
    layers: dict[str, Any] = {"unet_lora_layers": _adapt(pipeline.unet, UNET_MODULES)}
    if text_encoders:
        layers["text_encoder_lora_layers"] = _adapt(pipeline.text_encoder, TEXT_MODULES)
        layers["text_encoder_2_lora_layers"] = _adapt(pipeline.text_encoder_2, TEXT_MODULES)
    StableDiffusionXLPipeline.save_lora_weights(folder, weight_name=f"{name}.safetensors", **layers)
    return read_lora(folder / f"{name}.safetensors")


def as_kohya(lora: LoraSpec, name: str) -> LoraSpec:
    """The same LoRA's UNet part as kohya's sd-scripts write it: other names, and an alpha (the rank) beside each."""
    renamed = {}
    for tensor, values in load_file(lora.path).items():
        if tensor.startswith("unet."):
            module, _, which = tensor.removeprefix("unet.").removesuffix(".weight").rpartition(".")
            flat = "lora_unet_" + module.replace(".", "_")
            renamed[f"{flat}.{'lora_down' if which == 'lora_A' else 'lora_up'}.weight"] = values
            renamed[f"{flat}.alpha"] = torch.tensor(4.0)
    path = lora.path.with_name(f"{name}.safetensors")
    save_file(renamed, path)
    return read_lora(path)


def _adapt(module: Any, targets: list[str]) -> dict[str, torch.Tensor]:
    module.add_adapter(LoraConfig(r=4, lora_alpha=4, init_lora_weights=False, target_modules=targets))
    return get_peft_model_state_dict(module)
