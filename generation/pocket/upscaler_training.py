"""Trains the pocket Swin2SR (Conde et al. 2022, arXiv 2209.11345): pictures of scenes at twice the size.

The large pictures are the renderer's, the small ones are these reduced; one in three comes out of the model's
autoencoder, so that the network also learns to take back the softness of what the model draws.
"""

from __future__ import annotations

import itertools
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm
from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution, Swin2SRImageProcessorPil

from generation.pocket.drawing import render
from generation.pocket.export import strip_local_paths
from generation.pocket.scenes import Style, sample_scene
from generation.pocket.segmentation_training import through_autoencoder
from generation.pocket.training_loop import Checkpoint, WeightAverage, train
from generation.pocket.training_run import TrainingRun

SCALE = 2
WIDTH, WINDOW = 32, 8
BATCH_SIZE, CROP = 8, 40
# Pixels at a window's edges where the network lacks what lies beyond; the painter surrounds pictures for it.
EDGE = 4
SCENES, FITTED_PAIRS = 300, 60
# The large pictures' sizes.
FORMATS = ((256, 256), (256, 256), (304, 208), (208, 304))
STYLES: tuple[Style, ...] = ("plain", "plain", "plain", "pastel", "ink")
CHARBONNIER_WIDTH = 3e-2
PEAK_LEARNING_RATE = 2e-4
WEIGHT_AVERAGE_DECAY = 0.995

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def upscaler_checkpoint(work: Path) -> Path:
    return work / "upscaler.pt"


def build_upscaler(kernels: Tensor) -> Swin2SRForImageSuperResolution:
    """A Swin2SR of 0.1 M parameters that starts as linear interpolation with these kernels, (4, 5, 5): what each of the
    four new pixels of an old one takes from the old one's neighbours."""
    network = Swin2SRForImageSuperResolution(
        Swin2SRConfig(
            image_size=64,
            embed_dim=WIDTH,
            depths=[2, 2],
            num_heads=[2, 2],
            window_size=WINDOW,
            mlp_ratio=2.0,
            drop_path_rate=0.0,
            upscale=SCALE,
            upsampler="pixelshuffledirect",
        )
    )
    _start_as_interpolation(network, kernels)
    return network


def fit_kernels(pairs: list[Pair]) -> Tensor:
    """The kernels that come nearest to the large pictures: least squares over every pixel and colour of the pairs."""
    normal, wanted = torch.zeros(25, 25, dtype=torch.float64), torch.zeros(25, 4, dtype=torch.float64)
    for small, large in pairs:
        pixels, larger = (_as_tensor(picture[None]).double().transpose(0, 1) - 0.5 for picture in (small, large))
        padded = functional.pad(pixels, (2, 2, 2, 2), mode="replicate")
        neighbours = functional.unfold(padded, 5).transpose(1, 2).reshape(-1, 25)
        phases = functional.pixel_unshuffle(larger, SCALE).flatten(2).transpose(1, 2).reshape(-1, 4)
        normal += neighbours.T @ neighbours
        wanted += neighbours.T @ phases
    # Flat ground says nothing about the kernels; a little of a ridge keeps them small there.
    ridge = 1e-5 * normal.diagonal().mean() * torch.eye(25, dtype=torch.float64)
    kernels: Tensor = torch.linalg.solve(normal + ridge, wanted)
    return kernels.T.reshape(4, 5, 5).float()


@torch.no_grad()
def _start_as_interpolation(network: Any, kernels: Tensor) -> None:
    """Let the first convolution copy each colour of the nine nearest pixels, and the last one weigh these copies.

    The two together reach two pixels far, as the kernels do. The body between them adds nothing at first.
    """
    first, last = network.swin2sr.first_convolution, network.upsample.conv
    body_end = network.swin2sr.conv_after_body
    for layer in (last, body_end):
        layer.weight.zero_()
        layer.bias.zero_()
    first.bias.zero_()
    first.weight[: 9 * 3].zero_()
    for copied in range(9):
        for colour in range(3):
            first.weight[3 * copied + colour, colour, copied // 3, copied % 3] = 1
    for phase, row, column in itertools.product(range(4), range(5), range(5)):
        near_row, near_column = max(1, min(3, row)), max(1, min(3, column))
        copied = 3 * (near_row - 1) + near_column - 1
        for colour in range(3):
            weight = kernels[phase, row, column]
            last.weight[4 * colour + phase, 3 * copied + colour, row - near_row + 1, column - near_column + 1] = weight


def train_upscaler(work: Path, model: Path, folder: Path, minutes: float, seed: int) -> None:
    """Train for `minutes` of processor time in all, going on from the checkpoint in `work`, and write to `folder`."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    vae = AutoencoderKL.from_pretrained(model / "vae", torch_dtype=torch.float32)
    scenes = random.Random(f"upscaler/{seed}")
    pairs = [
        sample_pair(scenes, vae if index % 3 == 0 else None) for index in tqdm(range(SCENES), desc="upscaler scenes")
    ]
    network = build_upscaler(fit_kernels(pairs[:FITTED_PAIRS]))
    # The fitted interpolation stays what it is: the body learns what is lacking.
    for layer in (network.swin2sr.first_convolution, network.upsample):
        layer.requires_grad_(False)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    average = WeightAverage(parameters, WEIGHT_AVERAGE_DECAY)
    optimizer = torch.optim.AdamW(parameters, lr=PEAK_LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0, fused=True)
    run = TrainingRun(
        name="upscaler",
        budget_seconds=minutes * 60,
        peak_learning_rate=PEAK_LEARNING_RATE,
        clock=time.process_time,
        checkpoint_every_seconds=30,
    )
    checkpoint = Checkpoint(upscaler_checkpoint(work), network=network, average=average, optimizer=optimizer, run=run)
    checkpoint.load()
    rng = random.Random(f"upscaler/{seed}/{run.step}")

    def loss() -> Tensor:
        small, large = _crops(pairs, rng)
        error = (network(small).reconstruction - large)[..., SCALE * EDGE : -SCALE * EDGE, SCALE * EDGE : -SCALE * EDGE]
        distance: Tensor = (error**2 + CHARBONNIER_WIDTH**2).sqrt().mean()
        return distance

    train(run, optimizer, loss, save=checkpoint.save, follow=average.follow)
    average.give()
    network.half().save_pretrained(folder)
    Swin2SRImageProcessorPil(size_divisor=WINDOW).save_pretrained(folder)
    for path in folder.rglob("*.json"):
        strip_local_paths(path)


def sample_pair(rng: random.Random, vae: Any = None) -> Pair:
    """A scene's picture, and the same at twice the size; with a `vae` the small one has been through it."""
    large = render(sample_scene(rng, *rng.choice(FORMATS), style=rng.choice(STYLES), plain_framing=True))
    small = large.reduce(SCALE)
    if vae is not None:
        small = through_autoencoder(vae, small)
    return np.asarray(small), np.asarray(large)


def _crops(pairs: list[Pair], rng: random.Random) -> tuple[Tensor, Tensor]:
    """Windows of the small and the large pictures, (n, 3, 40, 40) and (n, 3, 80, 80) in 0..1, mirrored at random."""
    smalls, larges = [], []
    for small, large in rng.sample(pairs, BATCH_SIZE):
        height, width, _ = small.shape
        top, left = rng.randrange(height - CROP + 1), rng.randrange(width - CROP + 1)
        flip = rng.choice((1, -1))
        smalls.append(small[top : top + CROP, left : left + CROP][:, ::flip])
        rows, columns = slice(SCALE * top, SCALE * (top + CROP)), slice(SCALE * left, SCALE * (left + CROP))
        larges.append(large[rows, columns][:, ::flip])
    return _as_tensor(np.stack(smalls)), _as_tensor(np.stack(larges))


def _as_tensor(pixels: NDArray[np.uint8]) -> Tensor:
    """uint8 (n, height, width, 3) to float (n, 3, height, width) in 0..1."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).permute(0, 3, 1, 2).float() / 255
