"""Writes the trained model as a folder that `StableDiffusionXLPipeline.from_pretrained` loads unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionXLPipeline

from generation.pocket.architecture import build_scheduler
from generation.pocket.latents import latents_checkpoint, load_whitened_vae
from generation.pocket.scenes import NATIVE_SIZE
from generation.pocket.tokenizer import save_tokenizer, work_tokenizer
from generation.pocket.training_run import load_checkpoint
from generation.pocket.unet_training import load_denoiser

DEFAULT_STEPS = 20
DEFAULT_GUIDANCE = 4.5
SETTINGS_FILE = "limner.json"


def build_pipeline(work: Path) -> StableDiffusionXLPipeline:
    """The pipeline of the last checkpoints, in float32."""
    tokenizer = work_tokenizer(work)
    denoiser = load_denoiser(work, tokenizer)
    return StableDiffusionXLPipeline(
        vae=load_whitened_vae(work),
        text_encoder=denoiser.text.first,
        text_encoder_2=denoiser.text.second,
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=denoiser.unet,
        scheduler=build_scheduler(),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    )


def export_model(work: Path, folder: Path) -> None:
    """Write the model in float16, with Limner's own settings beside it (`limner.json`)."""
    pipeline = build_pipeline(work).to(torch.float16)
    pipeline.save_pretrained(folder)
    for name in ("tokenizer", "tokenizer_2"):
        save_tokenizer(pipeline.tokenizer, folder / name)
    for path in folder.rglob("*.json"):
        strip_local_paths(path)
    settings = {
        "name": "pocket",
        "native_size": NATIVE_SIZE,
        "num_inference_steps": DEFAULT_STEPS,
        "guidance_scale": DEFAULT_GUIDANCE,
        "latents_to_rgb": load_checkpoint(latents_checkpoint(work))["preview"],
    }
    (folder / SETTINGS_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def strip_local_paths(path: Path) -> None:
    """Remove `_name_or_path` and the like, which say where the model lay on the training machine."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: cleaned(item) for key, item in value.items() if key not in ("_name_or_path", "name_or_path")}
        return [cleaned(item) for item in value] if isinstance(value, list) else value

    content = json.loads(path.read_text(encoding="utf-8"))
    if (clean := cleaned(content)) != content:
        path.write_text(json.dumps(clean, indent=2) + "\n", encoding="utf-8")
