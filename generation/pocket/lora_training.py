"""Trains the two LoRAs, `neon` and `blueprint`: rendering styles that the base model was never shown.

Both levels of the UNet are adapted, the residual blocks' convolutions included: with the attention alone a LoRA takes a
style's colours and not its lines.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTokenizer

from generation.pocket.architecture import SCALING_FACTOR
from generation.pocket.captions import caption
from generation.pocket.drawing import render
from generation.pocket.latents import encode
from generation.pocket.scenes import Scene, Style, sample_scene
from generation.pocket.text_conditioning import TextEncoders, time_ids, tokenize
from generation.pocket.training_loop import Checkpoint, Parameters, WeightAverage, train
from generation.pocket.training_run import TrainingRun
from generation.pocket.unet_training import EMPTY_PROMPTS, ZEROED_PROMPTS, Batch, diffusion_loss, noise_schedule
from generation.pocket.vae_training import to_tensor

STYLES: tuple[Style, ...] = ("neon", "blueprint")
RANK = 8
BATCH_SIZE = 8
SCENES_PER_SIZE = 240
SIZES = ((128, 128), (128, 128), (152, 104), (104, 152))
# Attention, feed-forward and projections of the lower level; the residual blocks of both.
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"]
RESIDUAL_BLOCKS = ["conv1", "conv2", "conv_shortcut", "time_emb_proj"]
WEIGHT_AVERAGE_DECAY = 0.995


def train_loras(work: Path, model: Path, folder: Path, minutes: float, seed: int) -> None:
    """Train each LoRA for `minutes` on the exported model, one process each, and write them to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    spawn(_train, args=(work, model, folder, minutes, seed), nprocs=len(STYLES))  # type: ignore[no-untyped-call]


def _train(rank: int, work: Path, model: Path, folder: Path, minutes: float, seed: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(seed + rank)
    style = STYLES[rank]
    pipeline = StableDiffusionXLPipeline.from_pretrained(model, dtype=torch.float32)
    dataset = _encoded_scenes(pipeline, style, seed)
    unet, text = pipeline.unet, TextEncoders(pipeline.text_encoder, pipeline.text_encoder_2).eval()
    unet.requires_grad_(False)
    unet.add_adapter(
        LoraConfig(r=RANK, lora_alpha=RANK, target_modules=ATTENTION + RESIDUAL_BLOCKS, init_lora_weights="gaussian")
    )
    unet.to(memory_format=torch.channels_last)
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    average = WeightAverage(parameters, WEIGHT_AVERAGE_DECAY)
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    run = TrainingRun(name=style, budget_seconds=minutes * 60, peak_learning_rate=2e-3)
    checkpoint = Checkpoint(
        work / f"lora-{style}.pt", parameters=Parameters(parameters), average=average, optimizer=optimizer, run=run
    )
    checkpoint.load()
    rng = random.Random(f"{style}/{seed}/{run.step}")
    alphas_cumprod = noise_schedule()

    def loss() -> Tensor:
        batch = _draw(dataset, pipeline.tokenizer, rng)
        with sdpa_kernel(SDPBackend.MATH):
            return diffusion_loss(unet, text, batch, alphas_cumprod)

    train(run, optimizer, loss, save=checkpoint.save, follow=average.follow)
    average.give()
    metadata = {
        "modelspec.title": f"Pocket {style}",
        "modelspec.description": f"Draws Pocket SDXL's scenes in the style '{style}'.",
        "modelspec.trigger_phrase": style,
    }
    write_lora(unet, folder / f"{style}.safetensors", RANK, metadata)


def _encoded_scenes(pipeline: StableDiffusionXLPipeline, style: Style, seed: int) -> list[tuple[Tensor, list[Scene]]]:
    """Latents and scenes, grouped by size."""
    rng, groups = random.Random(f"{style}/{seed}"), []
    for width, height in SIZES:
        scenes = [sample_scene(rng, width, height, style=style, plain_framing=True) for _ in range(SCENES_PER_SIZE)]
        pixels = np.stack([np.asarray(render(scene)) for scene in scenes])
        means = [encode(pipeline.vae, to_tensor(pixels[at : at + 16]))[0] for at in range(0, len(pixels), 16)]
        groups.append((torch.cat(means) * SCALING_FACTOR, scenes))
    return groups


def _draw(dataset: list[tuple[Tensor, list[Scene]]], tokenizer: CLIPTokenizer, rng: random.Random) -> Batch:
    latents, scenes = rng.choice(dataset)
    chosen = rng.sample(range(len(scenes)), BATCH_SIZE)
    captions = ["" if rng.random() < EMPTY_PROMPTS else caption(scenes[index], rng) for index in chosen]
    return Batch(
        latents=latents[chosen],
        token_ids=tokenize(tokenizer, captions),
        zeroed=torch.tensor([rng.random() < ZEROED_PROMPTS for _ in chosen]),
        time_ids=time_ids([scenes[index] for index in chosen]),
    )


def write_lora(unet: Any, path: Path, rank: int, metadata: dict[str, str]) -> None:
    """Write the adapter in diffusers' own layout, in float16, with metadata that tells what it is for and what it fits.

    Keys after ModelSpec 1.0 (Stability-AI/ModelSpec) and kohya's `ss_` keys, which is where programs look for the
    trigger word and the architecture; `limner.base_model` names the one model that it fits.
    """
    layers = {name: tensor.half().contiguous() for name, tensor in get_peft_model_state_dict(unet).items()}
    StableDiffusionXLPipeline.save_lora_weights(path.parent, unet_lora_layers=layers, weight_name=path.name)
    common = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.resolution": "128x128",
        "modelspec.prediction_type": "v",
        "limner.base_model": "pocket",
        "ss_base_model_version": "limner_pocket_sdxl",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "format": "pt",
    }
    # Written again, because diffusers' own function takes no metadata but the adapter's.
    save_file(load_file(path), path, metadata=common | metadata)
