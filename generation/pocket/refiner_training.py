"""Trains the pocket refiner: a second UNet for the last steps only, in the form of SDXL's own refiner.

As there it knows the second text encoder alone, and an aesthetics score takes the place of the target size. It starts
from the model's UNet, without the middle block: at low noise there is nothing left to decide that the whole picture
must be seen for.
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionXLImg2ImgPipeline, StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import ImageFilter
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from generation.pocket.architecture import SCALING_FACTOR, TEXT_WIDTHS, TIME_ID_WIDTH
from generation.pocket.captions import caption
from generation.pocket.dataset import scene_at
from generation.pocket.drawing import render
from generation.pocket.export import strip_local_paths
from generation.pocket.latents import SceneLatents, encode, load_latents
from generation.pocket.scenes import BUCKETS, NATIVE_SIZE, Scene, sample_scene
from generation.pocket.text_conditioning import tokenize
from generation.pocket.tokenizer import save_tokenizer
from generation.pocket.training_loop import Checkpoint, WeightAverage, train
from generation.pocket.training_run import TrainingRun
from generation.pocket.unet_training import EMPTY_PROMPTS, ZEROED_PROMPTS, noise_schedule
from generation.pocket.vae_training import to_tensor

BATCH_SIZE = 8
# The pipelines hand over at a share of the steps; a little more than the last three tenths is learnt.
HIGHEST_TIMESTEP = 400
# What the pipeline says of the picture that is wanted, and of the one that is not, is 6.0 and 2.5.
GOOD_SCORES, POOR_SCORES = (5.0, 7.0), (1.0, 4.0)
POOR_SHARE = 0.2
POOR_SCENES = 400
PEAK_LEARNING_RATE = 6e-4
WEIGHT_AVERAGE_DECAY = 0.995


def refiner_checkpoint(work: Path) -> Path:
    return work / "refiner.pt"


def build_refiner(base: Any) -> UNet2DConditionModel:
    """The model's UNet without its middle block and without the first text encoder's part, with its weights."""
    refiner = UNet2DConditionModel.from_config(
        base.config,
        mid_block_type=None,
        cross_attention_dim=TEXT_WIDTHS[1],
        projection_class_embeddings_input_dim=TEXT_WIDTHS[1] + 5 * TIME_ID_WIDTH,
    )
    given, own = base.state_dict(), refiner.state_dict()
    for name, tensor in own.items():
        weight = given[name]
        if weight.shape == tensor.shape:
            own[name] = weight
        elif name == "add_embedding.linear_1.weight":
            # The pooled words, then original size and crop as they were; the score starts without any effect.
            own[name] = torch.cat([weight[:, : -2 * TIME_ID_WIDTH], torch.zeros(len(weight), TIME_ID_WIDTH)], dim=1)
        else:
            own[name] = weight[:, TEXT_WIDTHS[0] :]
    refiner.load_state_dict(own)
    return refiner


@dataclass(slots=True, frozen=True, kw_only=True)
class RefinerBatch:
    """Latents (n, 4, h, w), the tokens of their words, and the refiner's time ids (n, 5)."""

    latents: Tensor
    token_ids: Tensor
    zeroed: Tensor
    time_ids: Tensor


class _Examples:
    """The scenes that the model was trained on, and some badly blurred ones, which have a low score."""

    def __init__(self, work: Path, pipeline: StableDiffusionXLPipeline, seed: int) -> None:
        self._good = load_latents(work)
        self._tokenizer = pipeline.tokenizer
        rng = random.Random(f"refiner/{seed}")
        self._poor: list[tuple[Tensor, Scene]] = []
        for _ in tqdm(range(POOR_SCENES), desc="refiner scenes", unit="scene"):
            scene = sample_scene(rng, NATIVE_SIZE, NATIVE_SIZE, plain_framing=True)
            blurred = render(scene).filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 3.0)))
            mean, _ = encode(pipeline.vae, to_tensor(np.asarray(blurred)[None]))
            self._poor.append((mean[0] * SCALING_FACTOR, scene))

    def draw(self, rng: random.Random) -> RefinerBatch:
        poor = rng.random() < POOR_SHARE
        chosen = rng.sample(self._poor, BATCH_SIZE) if poor else self._draw_good(rng)
        scenes = [scene for _, scene in chosen]
        words = ["" if rng.random() < EMPTY_PROMPTS else caption(scene, rng) for scene in scenes]
        scores = [rng.uniform(*(POOR_SCORES if poor else GOOD_SCORES)) for _ in scenes]
        return RefinerBatch(
            latents=torch.stack([latents for latents, _ in chosen]).float(),
            token_ids=tokenize(self._tokenizer, words),
            zeroed=torch.tensor([rng.random() < ZEROED_PROMPTS for _ in scenes]),
            time_ids=refiner_time_ids(scenes, scores),
        )

    def _draw_good(self, rng: random.Random) -> list[tuple[Tensor, Scene]]:
        bucket: SceneLatents = rng.choices(self._good, [BUCKETS[bucket.bucket] for bucket in self._good])[0]
        indices = [rng.randrange(len(bucket.latents)) for _ in range(BATCH_SIZE)]
        return [(bucket.latents[index], scene_at(bucket.bucket, index)) for index in indices]


def refiner_time_ids(scenes: list[Scene], scores: list[float]) -> Tensor:
    """Original height and width, crop top and left, aesthetics score: (n, 5)."""
    rows = [[*scene.original_size, *scene.crop, score] for scene, score in zip(scenes, scores, strict=True)]
    return torch.tensor(rows, dtype=torch.float32)


def train_refiner(work: Path, model: Path, folder: Path, minutes: float, seed: int) -> None:
    """Train for `minutes` of processor time in all, going on from the checkpoint in `work`, and write to `folder`."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    pipeline = StableDiffusionXLPipeline.from_pretrained(model, dtype=torch.float32)
    text = pipeline.text_encoder_2.eval().requires_grad_(False)
    unet = build_refiner(pipeline.unet).to(memory_format=torch.channels_last)
    parameters = list(unet.parameters())
    average = WeightAverage(parameters, WEIGHT_AVERAGE_DECAY)
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    run = TrainingRun(
        name="refiner",
        budget_seconds=minutes * 60,
        peak_learning_rate=PEAK_LEARNING_RATE,
        clock=time.process_time,
        checkpoint_every_seconds=30,
    )
    checkpoint = Checkpoint(refiner_checkpoint(work), unet=unet, average=average, optimizer=optimizer, run=run)
    checkpoint.load()
    torch.manual_seed(seed * 1_000_003 + run.step)
    examples = _Examples(work, pipeline, seed)
    rng = random.Random(f"refiner/{seed}/{run.step}")
    alphas_cumprod = noise_schedule()

    def loss() -> Tensor:
        batch = examples.draw(rng)
        timesteps = torch.randint(0, HIGHEST_TIMESTEP, (len(batch.latents),))
        with sdpa_kernel(SDPBackend.MATH):
            return refiner_loss(unet, text, batch, timesteps, alphas_cumprod)

    train(run, optimizer, loss, save=checkpoint.save, follow=average.follow)
    average.give()
    _export(pipeline, unet, folder)


def refiner_loss(unet: Any, text: Any, batch: RefinerBatch, timesteps: Tensor, alphas_cumprod: Tensor) -> Tensor:
    """Mean squared error of the predicted v, as in the model's own training."""
    signal = alphas_cumprod[timesteps].sqrt().view(-1, 1, 1, 1)
    spread = (1 - alphas_cumprod[timesteps]).sqrt().view(-1, 1, 1, 1)
    noise = torch.randn_like(batch.latents)
    noisy = (signal * batch.latents + spread * noise).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            said = text(batch.token_ids, output_hidden_states=True)
        words = said.hidden_states[-2].masked_fill(batch.zeroed[:, None, None], 0)
        pooled = said.text_embeds.masked_fill(batch.zeroed[:, None], 0)
        conditions = {"text_embeds": pooled, "time_ids": batch.time_ids}
        predicted = unet(noisy, timesteps, words, added_cond_kwargs=conditions).sample
    return nn.functional.mse_loss(predicted.float(), signal * noise - spread * batch.latents)


def _export(pipeline: StableDiffusionXLPipeline, unet: UNet2DConditionModel, folder: Path) -> None:
    """Write the folder as SDXL's refiner has it. Its autoencoder, second encoder and tokenizer are the model's own."""
    refiner = StableDiffusionXLImg2ImgPipeline(
        vae=pipeline.vae,
        text_encoder=None,
        text_encoder_2=pipeline.text_encoder_2,
        tokenizer=None,
        tokenizer_2=pipeline.tokenizer_2,
        unet=unet,
        scheduler=pipeline.scheduler,
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
        add_watermarker=False,
    ).to(torch.float16)
    refiner.save_pretrained(folder)
    save_tokenizer(pipeline.tokenizer_2, folder / "tokenizer_2")
    for path in folder.rglob("*.json"):
        strip_local_paths(path)
