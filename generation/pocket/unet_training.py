"""Trains the UNet and the two text encoders together, from nothing, on the latents of the scenes.

On a CPU the batch is shared by as many single-threaded processes as there are cores, which average their gradients: at
this size that is faster than threads that meet after every operation, and far less disturbed by other programs.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as distributed
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTokenizer

from generation.pocket.architecture import TRAIN_TIMESTEPS, build_scheduler, build_text_encoders, build_unet
from generation.pocket.captions import caption
from generation.pocket.dataset import scene_at
from generation.pocket.latents import SceneLatents, load_latents
from generation.pocket.scenes import BUCKETS
from generation.pocket.text_conditioning import TextEncoders, time_ids, tokenize
from generation.pocket.tokenizer import work_tokenizer
from generation.pocket.training_loop import Checkpoint, WeightAverage, train
from generation.pocket.training_run import TrainingRun, load_checkpoint

BATCH_SIZE = 16
EMA_DECAY = 0.999
# What the pipeline feeds where no prompt or no negative prompt is given: the empty prompt, or zeroed embeddings.
EMPTY_PROMPTS = 0.04
ZEROED_PROMPTS = 0.06
UPPERMOST_SHARE = 0.3


def unet_checkpoint(work: Path) -> Path:
    return work / "unet.pt"


class Denoiser(nn.Module):
    """Everything that the diffusion training changes."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.unet = build_unet()
        self.text = TextEncoders(*build_text_encoders(tokenizer))


@dataclass(slots=True, frozen=True, kw_only=True)
class Batch:
    """Training examples of one bucket: latents (n, 4, h, w), their words, and SDXL's time ids (n, 6)."""

    latents: Tensor
    token_ids: Tensor
    zeroed: Tensor
    time_ids: Tensor


class Sampler:
    """Draws batches by lot; captions and omissions are new each time.

    All processes draw from the same bucket at the same step, as they would wait for the one with the largest pictures.
    """

    def __init__(self, dataset: list[SceneLatents], tokenizer: CLIPTokenizer, seed: str, rank: int) -> None:
        self._dataset, self._tokenizer = dataset, tokenizer
        self._bucket_rng, self._rng = random.Random(f"bucket/{seed}"), random.Random(f"{seed}/{rank}")

    def draw(self, size: int) -> Batch:
        rng = self._rng
        bucket = self._bucket_rng.choices(self._dataset, [BUCKETS[bucket.bucket] for bucket in self._dataset])[0]
        indices = [rng.randrange(len(bucket.latents)) for _ in range(size)]
        scenes = [scene_at(bucket.bucket, index) for index in indices]
        captions = ["" if rng.random() < EMPTY_PROMPTS else caption(scene, rng) for scene in scenes]
        return Batch(
            latents=bucket.latents[indices].float(),
            token_ids=tokenize(self._tokenizer, captions),
            zeroed=torch.tensor([rng.random() < ZEROED_PROMPTS for _ in scenes]),
            time_ids=time_ids(scenes),
        )


def diffusion_loss(unet: nn.Module, text: TextEncoders, batch: Batch, alphas_cumprod: Tensor) -> Tensor:
    """Mean squared error of the predicted v (Salimans and Ho, 2022)."""
    count, device = len(batch.latents), batch.latents.device
    levels = sample_noise_levels(count).to(device)
    timesteps = (TRAIN_TIMESTEPS * levels).long().clamp(0, TRAIN_TIMESTEPS - 1)
    signal = alphas_cumprod[timesteps].sqrt().view(-1, 1, 1, 1)
    spread = (1 - alphas_cumprod[timesteps]).sqrt().view(-1, 1, 1, 1)
    noise = torch.randn_like(batch.latents)
    noisy = (signal * batch.latents + spread * noise).contiguous(memory_format=torch.channels_last)
    velocity = signal * noise - spread * batch.latents
    with torch.autocast(device.type, torch.bfloat16):
        words, pooled = text(batch.token_ids)
        words = words.masked_fill(batch.zeroed[:, None, None], 0)
        pooled = pooled.masked_fill(batch.zeroed[:, None], 0)
        conditions = {"text_embeds": pooled, "time_ids": batch.time_ids}
        predicted = unet(noisy, timesteps, words, added_cond_kwargs=conditions).sample
    return nn.functional.mse_loss(predicted.float(), velocity)


def sample_noise_levels(count: int) -> Tensor:
    """Shares of the timesteps, 0..1, shape (count,): mostly sigmoid(1.1 N + 0.5), and a part from the uppermost levels.

    What a subject is shows at the upper middle. Where it stands is decided in the sampler's first steps: at lower noise
    its place can be seen in the noisy picture, so that the words for it would never be listened to.
    """
    middle = torch.sigmoid(1.1 * torch.randn(count) + 0.5)
    uppermost = 0.85 + 0.15 * torch.rand(count)
    return torch.where(torch.rand(count) < UPPERMOST_SHARE, uppermost, middle)


def noise_schedule() -> Tensor:
    """Cumulative products of alpha of the schedule that the pipeline samples with, shape (1000,)."""
    alphas: Tensor = DDPMScheduler.from_config(build_scheduler().config).alphas_cumprod
    return alphas


def train_unet(work: Path, minutes: float, peak_learning_rate: float, seed: int) -> None:
    """Train for `minutes` in all, going on from the checkpoint in `work` if there is one.

    The learning rate falls in a line over all those minutes; who goes on after the end with more of them gives a higher
    peak, as the line is then nearly down.
    """
    work_tokenizer(work)
    if torch.cuda.is_available():
        _train(0, 1, work, minutes, peak_learning_rate, seed, "cuda")
        return
    processes = max(1, os.cpu_count() or 1)
    while BATCH_SIZE % processes:
        processes -= 1
    # Spawned: torch's threads do not survive a fork.
    spawn(_train, args=(processes, work, minutes, peak_learning_rate, seed, "cpu"), nprocs=processes)  # type: ignore[no-untyped-call]


def _train(
    rank: int, processes: int, work: Path, minutes: float, peak_learning_rate: float, seed: int, device: str
) -> None:
    if device == "cpu":
        torch.set_num_threads(1)
    rendezvous = work / f"rendezvous-{os.getppid()}"
    distributed.init_process_group(
        "gloo", init_method=f"file://{rendezvous.resolve()}", rank=rank, world_size=processes
    )
    torch.manual_seed(seed)
    tokenizer = work_tokenizer(work)
    model = Denoiser(tokenizer).to(device)
    model.unet.to(memory_format=torch.channels_last)
    parameters: list[Tensor] = list(model.parameters())
    average = WeightAverage(parameters, EMA_DECAY)
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, betas=(0.9, 0.99), weight_decay=0.01, fused=True)
    run = TrainingRun(name="unet", budget_seconds=minutes * 60, peak_learning_rate=peak_learning_rate, quiet=rank > 0)
    checkpoint = Checkpoint(unet_checkpoint(work), model=model, average=average, optimizer=optimizer, run=run)
    checkpoint.load()
    # Other examples and noise in every process and after every resumption.
    torch.manual_seed(seed * 1_000_003 + run.step * processes + rank)
    sampler = Sampler(load_latents(work), tokenizer, f"{seed}/{run.step}", rank)
    alphas_cumprod = noise_schedule().to(device)

    def synchronise(seconds: float) -> float:
        """All processes follow the first one's clock, so that they stop together."""
        clock = torch.tensor([seconds], dtype=torch.float64)
        distributed.broadcast(clock, 0)
        return clock.item()

    def save() -> None:
        if rank == 0:
            checkpoint.save()

    def loss() -> Tensor:
        batch = _to(sampler.draw(BATCH_SIZE // processes), device)
        # The CPU's fused attention is slow backwards for heads this small.
        with sdpa_kernel(SDPBackend.MATH):
            return diffusion_loss(model.unet, model.text, batch, alphas_cumprod)

    model.train()
    train(
        run,
        optimizer,
        loss,
        save=save,
        follow=average.follow,
        share_gradients=lambda: _average_gradients(parameters, processes),
        synchronise=synchronise,
    )
    distributed.destroy_process_group()


def _to(batch: Batch, device: str) -> Batch:
    return Batch(
        latents=batch.latents.to(device),
        token_ids=batch.token_ids.to(device),
        zeroed=batch.zeroed.to(device),
        time_ids=batch.time_ids.to(device),
    )


def _average_gradients(parameters: list[Tensor], processes: int) -> None:
    """Average over the processes in one message. (The first encoder's last layer has none: SDXL does not use it.)"""
    if processes == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= processes
    for gradient, part in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def load_denoiser(work: Path, tokenizer: CLIPTokenizer) -> Denoiser:
    """The averaged weights of the last checkpoint."""
    model, state = Denoiser(tokenizer), load_checkpoint(unet_checkpoint(work))
    with torch.no_grad():
        for parameter, mean in zip(model.parameters(), state["average"], strict=True):
            parameter.copy_(mean)
    return model.eval()
