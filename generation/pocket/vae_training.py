"""Trains the autoencoder on windows of the rendered scenes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from diffusers import AutoencoderKL
from torch import Tensor
from tqdm import tqdm

from generation.pocket.architecture import build_vae
from generation.pocket.dataset import SceneImages, load_dataset
from generation.pocket.training_loop import Checkpoint, train
from generation.pocket.training_run import TrainingRun

BATCH_SIZE = 8
WINDOW = 64
# The first scenes of each bucket are never trained on; they measure the reconstruction.
HELD_OUT = 16
KL_WEIGHT = 2e-4
# Without it one direction of the latents dies: nothing else stops two channels from telling the same.
DECORRELATION_WEIGHT = 2e-2


def vae_checkpoint(work: Path) -> Path:
    return work / "vae.pt"


def to_tensor(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> Tensor:
    """uint8 (n, height, width, 3) to float (n, 3, height, width) in -1..1, channels last in memory."""
    images = torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return images.contiguous(memory_format=torch.channels_last)


def train_vae(work: Path, minutes: float, seed: int) -> None:
    """Train for `minutes` in all, going on from the checkpoint in `work` if there is one."""
    torch.manual_seed(seed)
    vae = build_vae().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=1e-4, fused=True)
    run = TrainingRun(name="vae", budget_seconds=minutes * 60, peak_learning_rate=1.2e-3)
    checkpoint = Checkpoint(vae_checkpoint(work), vae=vae, optimizer=optimizer, run=run)
    checkpoint.load()
    rng = np.random.default_rng((seed, run.step))
    dataset = load_dataset(work)

    def save() -> None:
        checkpoint.save()
        tqdm.write(f"vae: {reconstruction_psnr(vae, dataset):.2f} dB on held-out scenes")

    vae.train()
    train(run, optimizer, lambda: _loss(vae, _windows(dataset, rng)), save=save)


def _windows(dataset: list[SceneImages], rng: np.random.Generator) -> Tensor:
    """A batch of 64 × 64 windows from anywhere, half of them on the latent grid (where pixel art has its blocks)."""
    counts = np.array([len(images.pixels) for images in dataset])
    windows = np.empty((BATCH_SIZE, WINDOW, WINDOW, 3), np.uint8)
    for window in windows:
        pixels = dataset[rng.choice(len(dataset), p=counts / counts.sum())].pixels
        picture = pixels[rng.integers(HELD_OUT, len(pixels))]
        grid = 8 if rng.random() < 0.5 else 2
        top, left = (rng.integers(0, (side - WINDOW) // grid + 1) * grid for side in picture.shape[:2])
        window[:] = picture[top : top + WINDOW, left : left + WINDOW]
    return to_tensor(windows)


def _loss(vae: AutoencoderKL, images: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(images).latent_dist
        mean, log_variance = posterior.mean.float(), posterior.logvar.float()
        latents = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        decoded = vae.decode(latents).sample.float()
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
    channels = mean.permute(1, 0, 2, 3).flatten(1)
    covariance = torch.cov(channels)
    decorrelation = ((covariance - torch.eye(len(covariance))) ** 2).mean()
    penalties: Tensor = KL_WEIGHT * divergence + DECORRELATION_WEIGHT * decorrelation
    return _reconstruction_loss(images, decoded) + penalties


def _reconstruction_loss(images: Tensor, decoded: Tensor) -> Tensor:
    """Absolute and squared error, error of the gradients (for edges) and of 4 × 4 means (for flat colours)."""
    error = decoded - images
    across, down = error[..., 1:] - error[..., :-1], error[..., 1:, :] - error[..., :-1, :]
    gradients = across.abs().mean() + down.abs().mean()
    means = functional.avg_pool2d(error, 4).abs().mean()
    total: Tensor = error.abs().mean() + 0.5 * (error**2).mean() + 0.5 * gradients + 0.5 * means
    return total


@torch.no_grad()
def reconstruction_psnr(vae: AutoencoderKL, dataset: list[SceneImages]) -> float:
    """Peak signal to noise ratio in dB over the held-out scenes of the first (square) bucket."""
    vae.eval()
    images = to_tensor(np.asarray(dataset[0].pixels[:HELD_OUT]))
    decoded = vae.decode(vae.encode(images).latent_dist.mode()).sample.clamp(-1, 1)
    vae.train()
    # The range of -1..1 is 2 wide, hence the 4.
    return -10 * math.log10(((decoded - images) ** 2).mean().item() / 4)
