"""Latents of the rendered scenes, and what is fitted on them: the whitening and the preview's latent → RGB map."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from tqdm import tqdm

from generation.pocket.architecture import LATENT_CHANNELS, SCALING_FACTOR, VAE_SCALE, build_vae
from generation.pocket.dataset import Bucket, SceneImages, load_dataset
from generation.pocket.training_run import load_checkpoint, save_atomically
from generation.pocket.vae_training import to_tensor, vae_checkpoint

ENCODING_BATCH = 16
WHITENING_SCENES = 640


@dataclass(slots=True, frozen=True, kw_only=True)
class SceneLatents:
    """Latents of one bucket as the UNet sees them (unit variance): float16, shape (count, 4, height / 8, width / 8)."""

    bucket: Bucket
    latents: Tensor


def latents_checkpoint(work: Path) -> Path:
    return work / "latents.pt"


def encode_dataset(work: Path, share: float) -> None:
    """Whiten the trained autoencoder and encode the first `share` of each bucket's scenes."""
    vae = build_vae()
    vae.load_state_dict(load_checkpoint(vae_checkpoint(work))["vae"])
    vae.to(memory_format=torch.channels_last).eval()
    dataset = load_dataset(work)
    whiten(vae, dataset[0].pixels[:WHITENING_SCENES])
    latents = {}
    for images in dataset:
        count = round(len(images.pixels) * share)
        latents[f"{images.bucket[0]}x{images.bucket[1]}"] = _encode_bucket(vae, images, count)
    square = dataset[0]
    preview = fit_preview(latents["128x128"][:WHITENING_SCENES], square.pixels[:WHITENING_SCENES])
    save_atomically({"vae": vae.state_dict(), "latents": latents, "preview": preview}, latents_checkpoint(work))


def load_latents(work: Path) -> list[SceneLatents]:
    """The encoded scenes of every bucket; the n-th belongs to `scene_at(bucket, n)`."""
    stored: dict[str, Tensor] = load_checkpoint(latents_checkpoint(work))["latents"]
    return [
        SceneLatents(bucket=(int(name.split("x")[0]), int(name.split("x")[1])), latents=latents)
        for name, latents in stored.items()
    ]


def load_whitened_vae(work: Path) -> AutoencoderKL:
    """The autoencoder as it is exported."""
    vae = build_vae()
    vae.load_state_dict(load_checkpoint(latents_checkpoint(work))["vae"])
    return vae.eval()


@torch.no_grad()
def encode(vae: AutoencoderKL, images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the posterior in the VAE's own units, float32."""
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(images).latent_dist
    return posterior.mean.float(), posterior.var.float()


def _encode_bucket(vae: AutoencoderKL, images: SceneImages, count: int) -> Tensor:
    name = f"latents {images.bucket[0]}x{images.bucket[1]}"
    batches = []
    for start in tqdm(range(0, count, ENCODING_BATCH), desc=name, unit="batch"):
        mean, _ = encode(vae, to_tensor(np.asarray(images.pixels[start : min(count, start + ENCODING_BATCH)])))
        batches.append((mean * SCALING_FACTOR).half())
    return torch.cat(batches).contiguous()


@torch.no_grad()
def whiten(vae: AutoencoderKL, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    """Fold a linear map into the 1 × 1 convolutions around the latents, so that latents times the scaling factor have
    mean 0 and covariance 1 over the given scenes, and pictures stay what they were.

    With z = W (m - mean) / s as the new latent (s the scaling factor), `quant_conv` gives z directly and
    `post_quant_conv` takes m = inverse(W) s z + mean. Computed in float64: the smallest eigenvalue can be tiny.
    """
    batches = [encode(vae, to_tensor(pixels[start : start + 16])) for start in range(0, len(pixels), 16)]
    mean_latents = torch.cat([mean for mean, _ in batches]).double().permute(1, 0, 2, 3).flatten(1)
    variance = torch.cat([var for _, var in batches]).double().mean((0, 2, 3))
    centre = mean_latents.mean(1)
    eigenvalues, directions = torch.linalg.eigh(torch.cov(mean_latents))
    tqdm.write(f"latents: eigenvalues before whitening {[round(value, 3) for value in eigenvalues.tolist()]}")
    # A dead direction would otherwise be blown up into noise.
    spread = eigenvalues.clamp(min=0.02 * float(eigenvalues.max())).sqrt()
    forward = directions @ torch.diag(1 / spread) @ directions.T / SCALING_FACTOR
    backward = torch.linalg.inv(forward)

    before, after = vae.quant_conv, vae.post_quant_conv
    channels = LATENT_CHANNELS
    weight, bias = before.weight[:channels, :, 0, 0].double(), before.bias[:channels].double()
    before.weight[:channels, :, 0, 0] = (forward @ weight).float()
    before.bias[:channels] = (forward @ (bias - centre)).float()
    # The posterior's width hardly varies; one value per channel keeps its log-variance exact under the map.
    before.weight[channels:] = 0
    before.bias[channels:] = torch.log(forward**2 @ variance).float()
    outward = after.weight[:, :, 0, 0].double()
    after.bias += (outward @ centre).float()
    after.weight[:, :, 0, 0] = (outward @ backward).float()


def fit_preview(
    latents: Tensor, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> dict[str, list[list[float]] | list[float]]:
    """Least squares from a latent (as the UNet sees it) to the mean RGB, 0..1, of the 8 × 8 pixels it stands for."""
    count, height, width, _ = pixels.shape
    blocks = pixels.reshape(count, height // VAE_SCALE, VAE_SCALE, width // VAE_SCALE, VAE_SCALE, 3)
    colours = torch.from_numpy(blocks.mean((2, 4)).reshape(-1, 3) / 255).double()
    inputs = latents.double().permute(0, 2, 3, 1).reshape(-1, LATENT_CHANNELS)
    solution = torch.linalg.lstsq(torch.cat([inputs, torch.ones(len(inputs), 1).double()], 1), colours).solution
    residual = (inputs @ solution[:-1] + solution[-1] - colours).abs().mean()
    tqdm.write(f"preview: mean error {float(residual):.3f} of the range")
    rounded = [[round(value, 5) for value in row] for row in solution.tolist()]
    return {"matrix": rounded[:-1], "bias": rounded[-1]}
