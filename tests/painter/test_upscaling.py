"""Pictures above the native size: painted in windows that cannot be told apart, from a source made larger."""

from __future__ import annotations

import dataclasses
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import Swin2SRConfig, Swin2SRForImageSuperResolution

from generation.catalogue import ModelSpec
from generation.engine.protocol import Picture
from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable
from generation.painter.devices import choose_placement
from generation.painter.painter import Painter
from generation.painter.super_resolution import TILE, Upscaler
from generation.painter.tiled_unet import VAE_SCALE, unet_in_tiles
from generation.pocket import measure
from generation.recipe import Recipe, Source
from generation.tiles import tile_side, tile_starts
from tests.painter.tiny_sdxl import paint

POCKET = Path(__file__).parents[2] / "generation" / "pocket"
CPU = PainterSettings(device="cpu")
BOAT = Recipe(
    prompt="a red boat on the sea at sunset",
    model="pocket",
    width=128,
    height=128,
    seed=1,
    num_inference_steps=20,
    guidance_scale=4.5,
)


@pytest.fixture(scope="module")
def boat(artist: Painter, pocket: ModelSpec) -> Picture:
    return paint(artist, pocket, BOAT).pictures[0]


def upscaled(recipe: Recipe, strength: float, *, factor: int = 2, **source: Any) -> Recipe:
    return dataclasses.replace(
        recipe,
        width=recipe.width * factor,
        height=recipe.height * factor,
        source=Source(digest="boat", strength=strength, **source),
    )


def opened(png: bytes) -> Image.Image:
    return Image.open(BytesIO(png)).convert("RGB")


def distance(one: Image.Image, other: Image.Image) -> float:
    """Mean difference in 1/255."""
    return float(np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean())


def roughness_at_borders(image: Image.Image) -> float:
    """How large the steps are where windows begin and end, over those within a latent's width around."""
    pixels = np.asarray(image, dtype=float)
    tile, ratios = tile_side(128), []
    for axis, length in ((0, image.height), (1, image.width)):
        steps = np.abs(np.diff(pixels, axis=axis)).mean(axis=(2, 1 - axis))
        for start in tile_starts(length, tile):
            for border in {start, start + tile} - {0, length}:
                around = np.r_[steps[border - 8 : border - 2], steps[border + 1 : border + 7]]
                ratios.append(steps[border - 2 : border + 1].max() / around.mean())
    return float(np.mean(ratios))


@pytest.mark.parametrize(("strength", "moved"), [(0.15, 12), (0.35, 16)])
def test_an_upscaled_picture_is_the_same_one_twice_as_large(
    artist: Painter, pocket: ModelSpec, boat: Picture, strength: float, moved: float
) -> None:
    larger = opened(paint(artist, pocket, upscaled(BOAT, strength), sources=(boat.png,)).pictures[0].png)
    assert larger.size == (256, 256)
    small = larger.resize((128, 128), Image.Resampling.LANCZOS)
    assert distance(small, opened(boat.png)) < moved
    assert measure.subject_colour(small) == "red"


def test_windows_leave_no_seams(artist: Painter, pocket: ModelSpec, boat: Picture) -> None:
    """Where windows begin and end, the picture is no rougher than elsewhere."""
    recipe = upscaled(dataclasses.replace(BOAT, num_inference_steps=8), 0.4, factor=4)
    larger = opened(paint(artist, pocket, recipe, sources=(boat.png,)).pictures[0].png)
    assert roughness_at_borders(larger) < 1.3  # 1.42 where windows are put side by side instead of blended


def test_the_unet_never_sees_more_than_a_window(
    artist: Painter, pocket: ModelSpec, boat: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[int, ...]] = []
    unet = artist._loaded(pocket).text_to_image.unet
    seen = unet.conv_in.register_forward_pre_hook(lambda _, arguments: sizes.append(tuple(arguments[0].shape[-2:])))
    paint(
        artist, pocket, upscaled(dataclasses.replace(BOAT, num_inference_steps=3), 0.4, factor=4), sources=(boat.png,)
    )
    seen.remove()
    side = tile_side(128) // VAE_SCALE
    assert set(sizes) == {(side, side)}


def test_what_fits_into_one_window_is_painted_as_without_them(artist: Painter, pocket: ModelSpec) -> None:
    plain = paint(artist, pocket, BOAT).pictures[0]
    unet = artist._loaded(pocket).text_to_image.unet
    with unet_in_tiles(unet, 16):
        assert paint(artist, pocket, BOAT).pictures[0].png == plain.png
    assert paint(artist, pocket, BOAT).pictures[0].png == plain.png
    assert "forward" not in vars(unet)


@pytest.fixture(scope="module")
def swin2sr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Swin2SR with random weights."""
    torch.manual_seed(0)
    config = Swin2SRConfig(
        image_size=32, embed_dim=16, depths=[1], num_heads=[2], window_size=8, upscale=2, upsampler="pixelshuffledirect"
    )
    folder = tmp_path_factory.mktemp("swin2sr")
    Swin2SRForImageSuperResolution(config).save_pretrained(folder)
    return folder


class TestSuperResolution:
    @pytest.mark.parametrize("size", [(60, 44), (TILE + 40, 24)])
    def test_a_picture_of_any_shape_comes_out_at_the_size_that_is_wanted(
        self, swin2sr: Path, size: tuple[int, int]
    ) -> None:
        upscaler = Upscaler.load(str(swin2sr), choose_placement(CPU))
        width, height = size
        for factor in (2, 3):
            larger = upscaler.enlarge(Image.new("RGB", size, "teal"), width * factor, height * factor)
            assert larger.size == (width * factor, height * factor)

    def test_it_prepares_the_canvas_where_the_recipe_says_so(
        self, swin2sr: Path, pocket: ModelSpec, boat: Picture
    ) -> None:
        painter = Painter(dataclasses.replace(CPU, upscaler=str(swin2sr)))
        plain = paint(painter, pocket, upscaled(BOAT, 0.0), sources=(boat.png,)).pictures[0]
        prepared = paint(painter, pocket, upscaled(BOAT, 0.0, super_resolution=True), sources=(boat.png,)).pictures[0]
        assert distance(opened(plain.png), opened(prepared.png)) > 1

    def test_without_weights_it_says_what_to_do(self, tmp_path: Path, pocket: ModelSpec, boat: Picture) -> None:
        recipe = upscaled(BOAT, 0.2, super_resolution=True)
        for upscaler, said in (("", "none is configured"), (str(tmp_path), "no Swin2SR"), ("x.pth", "pickle")):
            with pytest.raises(ModelUnavailable, match=said):
                paint(Painter(dataclasses.replace(CPU, upscaler=upscaler)), pocket, recipe, sources=(boat.png,))

    def test_other_architectures_are_read_by_spandrel(self, tmp_path: Path) -> None:
        """Needs the extra `upscalers`."""
        architecture = pytest.importorskip("spandrel.architectures.ESRGAN.__arch.RRDB")
        from safetensors.torch import save_file

        network = architecture.RRDBNet(in_nc=3, out_nc=3, num_filters=16, num_blocks=1, scale=4)
        file = tmp_path / "esrgan.safetensors"
        save_file({name: weight.contiguous() for name, weight in network.state_dict().items()}, file)
        upscaler = Upscaler.load(str(file), choose_placement(CPU))
        assert upscaler.enlarge(Image.new("RGB", (30, 20)), 60, 40).size == (60, 40)

    def test_without_the_extra_such_a_file_says_what_it_needs(self) -> None:
        if find_spec("spandrel"):
            pytest.skip("the extra is installed")
        with pytest.raises(ModelUnavailable, match="extra `upscalers`"):
            Upscaler.load(str(POCKET / "loras" / "neon.safetensors"), choose_placement(CPU))
