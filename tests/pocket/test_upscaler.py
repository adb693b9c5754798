"""The network that enlarges: what it starts from, and that it does better than Lanczos."""

import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops

from generation.painter.super_resolution import Upscaler
from generation.pocket import measure
from generation.pocket.drawing import render
from generation.pocket.evaluate import FOLDER
from generation.pocket.evaluate_extras import CPU, evaluate_upscaler, psnr, sample_lonely_scene
from generation.pocket.upscaler_training import build_upscaler, fit_kernels

# diffusers' schedulers hand torch tensors to numpy in a way that numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MODEL, UPSCALER = FOLDER / "weights", FOLDER / "upscaler"


def test_an_untrained_upscaler_interpolates_with_its_kernels() -> None:
    """Kernels that take the old pixel alone repeat it; those that take a neighbour move the picture."""
    small = render(sample_lonely_scene(random.Random(2)))
    doubled = (small.width * 2, small.height * 2)
    for row, column in ((2, 2), (0, 4)):
        kernels = torch.zeros(4, 5, 5)
        kernels[:, row, column] = 1
        network = build_upscaler(kernels).eval()
        upscaler = Upscaler(
            lambda pixels, network=network: network(pixel_values=pixels).reconstruction,
            scale=2,
            multiple=8,
            device=CPU.device,
        )
        larger = upscaler.enlarge(small, *doubled).resize(small.size, Image.Resampling.NEAREST)
        moved = ImageChops.offset(small, 2 - column, 2 - row)
        inner = (4, 4, small.width - 4, small.height - 4)
        assert measure.distance(larger.crop(inner), moved.crop(inner)) < 0.1


def test_fitted_kernels_find_out_how_pictures_were_enlarged() -> None:
    rng = np.random.default_rng(1)
    pairs = []
    for _ in range(3):
        small = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        pairs.append((small, small.repeat(2, axis=0).repeat(2, axis=1)))
    kernels = fit_kernels(pairs)
    expected = torch.zeros(4, 5, 5)
    expected[:, 2, 2] = 1
    assert torch.allclose(kernels, expected, atol=1e-3)


def test_enlarging_is_nearer_to_the_larger_scene_than_lanczos() -> None:
    figures = evaluate_upscaler(MODEL, UPSCALER, scenes=4)
    assert figures.sharp > figures.sharp_lanczos + 0.2
    assert figures.soft > figures.soft_lanczos - 0.1


def test_distance_in_decibels_grows_with_the_error() -> None:
    white = Image.new("RGB", (8, 8), "white")
    figures = [psnr(Image.new("RGB", (8, 8), (level,) * 3), white) for level in (250, 200, 100)]
    assert all(first > second for first, second in pairwise(figures))
