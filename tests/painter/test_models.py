"""Which models are loaded, and with which words the others are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from generation.catalogue import ModelSpec
from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable, PaintingCancelled
from generation.painter.devices import choose_placement
from generation.painter.models import load_model
from generation.painter.painter import Painter
from generation.recipe import Source
from tests.painter.original_checkpoint import save_original
from tests.painter.tiny_sdxl import build_pipeline, distance, paint, recipe, saving_memory, spec_for

CPU = PainterSettings(device="cpu")
PARTS = ("unet", "vae", "text_encoder", "text_encoder_2")


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to break."""
    return shutil.copytree(tiny_folder, tmp_path / "model")


@pytest.fixture(scope="module")
def single_file(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as one file, with its tokenizers and configuration beside it."""
    path = tmp_path_factory.mktemp("single") / "tiny.safetensors"
    save_original(build_pipeline(), path)
    shutil.copytree(tiny_folder, path.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"))
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a connection to the hub nor anything of it on disk."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def refusal(source: Path | str, **changes: object) -> str:
    with pytest.raises(ModelUnavailable) as caught:
        Painter(CPU).load(spec_for(source, **changes))
    assert caught.value.fields["name"] == "tiny"
    return str(caught.value.fields["reason"])


class TestLoaded:
    def test_pipelines_share_every_module(self, tiny: ModelSpec) -> None:
        model = load_model(tiny, choose_placement(CPU))
        for part in (*PARTS, "tokenizer", "tokenizer_2"):
            assert getattr(model.text_to_image, part) is getattr(model.image_to_image, part)

    @pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float32])
    def test_on_the_cpu_all_weights_become_float32_whatever_is_stored(
        self, tmp_path: Path, stored: torch.dtype
    ) -> None:
        build_pipeline().to(stored).save_pretrained(tmp_path)
        assert dtypes(load_model(spec_for(tmp_path), choose_placement(CPU)).text_to_image) == {
            part: {torch.float32} for part in PARTS
        }

    def test_a_vae_that_overflows_in_half_precision_stays_in_float32(self, copy: Path) -> None:
        bfloat16 = choose_placement(PainterSettings(device="cpu", dtype="bfloat16"))
        pipeline = load_model(spec_for(copy), bfloat16).text_to_image
        assert dtypes(pipeline) == {part: {torch.bfloat16} for part in PARTS} | {"vae": {torch.float32}}
        change_json(copy / "vae" / "config.json", force_upcast=False)
        assert dtypes(load_model(spec_for(copy), bfloat16).text_to_image)["vae"] == {torch.bfloat16}

    def test_half_precision_paints_nearly_the_same(self, painter: Painter, tiny: ModelSpec) -> None:
        half = paint(Painter(PainterSettings(device="cpu", dtype="bfloat16")), tiny, recipe()).pictures[0]
        assert distance(half, paint(painter, tiny, recipe()).pictures[0]) < 10

    def test_a_variant(self, tmp_path: Path, painter: Painter, tiny: ModelSpec) -> None:
        build_pipeline().save_pretrained(tmp_path, variant="fp16")
        picture = paint(Painter(CPU), spec_for(tmp_path, variant="fp16"), recipe()).pictures[0]
        assert distance(picture, paint(painter, tiny, recipe()).pictures[0]) <= 0.2
        assert "variant bf16" in refusal(tmp_path, variant="bf16")

    def test_a_single_file_paints_what_the_folder_paints(
        self, single_file: Path, painter: Painter, tiny: ModelSpec
    ) -> None:
        picture = paint(Painter(CPU), spec_for(single_file), recipe()).pictures[0]
        assert distance(picture, paint(painter, tiny, recipe()).pictures[0]) <= 0.2

    def test_another_model_takes_the_place_of_the_last(self, tiny: ModelSpec, tmp_path: Path) -> None:
        build_pipeline(seed=1).save_pretrained(tmp_path)
        painter, other = Painter(CPU), spec_for(tmp_path)
        first = paint(painter, tiny, recipe()).pictures[0]
        assert distance(paint(painter, other, recipe()).pictures[0], first) > 1
        assert paint(painter, tiny, recipe()).pictures[0].png == first.png

    def test_a_broken_model_does_not_spoil_the_painter(self, tiny: ModelSpec, copy: Path) -> None:
        painter = Painter(CPU)
        (copy / "model_index.json").unlink()
        for _ in range(2):
            with pytest.raises(ModelUnavailable):
                paint(painter, spec_for(copy), recipe())
        assert paint(painter, tiny, recipe()).pictures[0].width == 64

    def test_with_parts_of_the_model_waiting_in_main_memory(self, painter: Painter, tiny: ModelSpec) -> None:
        saving = saving_memory()
        words, source = recipe(), recipe(source=Source(digest="", strength=0.5))
        first = paint(painter, tiny, words).pictures[0]
        for _ in range(2):
            assert distance(paint(saving, tiny, words).pictures[0], first) <= 0.2
            varied = [paint(each, tiny, source, sources=(first.png,)).pictures[0] for each in (painter, saving)]
            assert distance(*varied) <= 0.2
            with pytest.raises(PaintingCancelled):
                paint(saving, tiny, words, cancelled=lambda: True)

    def test_tiles_for_large_pictures_and_for_them_alone(
        self, painter: Painter, tiny: ModelSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        medium = recipe(num_inference_steps=1, width=128, height=128)
        before = paint(painter, tiny, medium).pictures[0].png
        monkeypatch.setattr("generation.painter.latents.TILED_FROM_PIXELS", 192 * 192)
        assert painter._models.current is not None
        picture = paint(painter, tiny, recipe(num_inference_steps=1, width=256, height=192)).pictures[0]
        assert painter._models.current.vae.use_tiling
        assert (picture.width, picture.height) == (256, 192)
        assert paint(painter, tiny, medium).pictures[0].png == before


class TestDevices:
    def test_the_cpu_keeps_everything_in_float32(self) -> None:
        placement = choose_placement(PainterSettings(device="cpu", vram="low"))
        assert (placement.device.type, placement.dtype, placement.vram) == ("cpu", torch.float32, "full")

    def test_auto_finds_one(self) -> None:
        assert choose_placement(PainterSettings()).device.type in ("cpu", "cuda", "mps")

    @pytest.mark.parametrize("device", ["cuda:31", "xpu"])
    def test_a_device_that_is_not_there_is_told(self, device: str) -> None:
        with pytest.raises(ModelUnavailable, match=device):
            Painter(PainterSettings(device=device))


class TestRefused:
    def test_nothing_there(self, tmp_path: Path) -> None:
        assert refusal(tmp_path / "nowhere") == f"there is no folder {tmp_path / 'nowhere'}"
        assert refusal(tmp_path / "no.safetensors") == f"there is no file {tmp_path / 'no.safetensors'}"

    def test_not_a_model(self, tmp_path: Path) -> None:
        assert "model_index.json" in refusal(tmp_path)

    @pytest.mark.usefixtures("offline")
    def test_a_hub_model_that_is_not_on_this_machine_says_how_to_get_it(self) -> None:
        assert "hf download some/model" in refusal("some/model")

    @pytest.mark.usefixtures("offline")
    def test_a_single_file_without_its_configuration_says_how_to_get_it(
        self, single_file: Path, tmp_path: Path
    ) -> None:
        alone = tmp_path / "alone.safetensors"
        shutil.copy(single_file, alone)
        reason = refusal(alone)
        assert "stabilityai/stable-diffusion-xl-base-1.0" in reason
        assert "alone/" in reason

    @pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin"])
    def test_pickles(self, tmp_path: Path, suffix: str) -> None:
        (tmp_path / f"model{suffix}").write_bytes(b"never opened")
        assert "can run code" in refusal(tmp_path / f"model{suffix}")

    @pytest.mark.parametrize("part", PARTS)
    def test_a_folder_of_pickles(self, copy: Path, part: str) -> None:
        for path in (copy / part).glob("*.safetensors"):
            path.rename(path.with_suffix(".bin"))
        assert refusal(copy) == (
            f"the weights in {part} are pickles, which can run code: only .safetensors is accepted"
        )

    @pytest.mark.parametrize("part", PARTS)
    def test_weights_that_are_not_there(self, copy: Path, part: str) -> None:
        weights_of(copy, part).unlink()
        assert refusal(copy) == f"there are no .safetensors weights in {copy / part}"

    @pytest.mark.parametrize("part", PARTS)
    def test_weights_that_are_cut_off(self, copy: Path, part: str) -> None:
        path = weights_of(copy, part)
        path.write_bytes(path.read_bytes()[:-100])
        assert refusal(copy) == f"{path} cannot be read: it is cut off: fewer bytes than its header promises"

    @pytest.mark.parametrize("part", PARTS)
    def test_weights_of_which_some_are_missing(self, copy: Path, part: str) -> None:
        path = weights_of(copy, part)
        tensors = load_file(path)
        del tensors[min(tensors)]
        save_file(tensors, path, metadata={"format": "pt"})
        assert refusal(copy).startswith(f"weights are missing in {part}: 1")

    def test_weights_of_another_shape(self, copy: Path) -> None:
        change_json(copy / "unet" / "config.json", block_out_channels=[32, 96])
        assert refusal(copy).startswith("its files are broken")

    def test_a_broken_configuration(self, copy: Path) -> None:
        (copy / "vae" / "config.json").write_text("{")
        assert refusal(copy).startswith("its files are broken")

    def test_a_broken_preview_map(self, copy: Path) -> None:
        (copy / "limner.json").write_text('{"latents_to_rgb": 5}')
        assert "latents_to_rgb" in refusal(copy)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"_class_name": "StableDiffusionPipeline"}, "it is a StableDiffusionPipeline, not SDXL"),
            ({"text_encoder": [None, None]}, "it is an SDXL refiner, which cannot draw by itself"),
        ],
    )
    def test_another_pipeline(self, copy: Path, change: dict[str, object], reason: str) -> None:
        change_json(copy / "model_index.json", **change)
        assert refusal(copy) == reason

    def test_an_inpainting_unet(self, tmp_path: Path) -> None:
        pipeline = build_pipeline()
        pipeline.unet.register_to_config(in_channels=9)
        pipeline.unet.conv_in = torch.nn.Conv2d(9, 32, 3, padding=1)
        pipeline.save_pretrained(tmp_path)
        assert "inpainting" in refusal(tmp_path)

    @pytest.mark.parametrize(
        ("tensors", "reason"),
        [
            (["cond_stage_model.transformer.x", "model.diffusion_model.x", "first_stage_model.x"], "Diffusion 1.x"),
            (["cond_stage_model.model.x", "model.diffusion_model.x", "first_stage_model.x"], "Diffusion 2.x"),
            (["conditioner.embedders.0.model.x", "model.diffusion_model.x", "first_stage_model.x"], "refiner"),
            (["model.diffusion_model.double_blocks.0.x"], "Flux"),
            (["lora_unet_down_blocks.lora_down.weight"], "LoRA"),
            (["first_stage_model.x", "model.diffusion_model.x"], "lacks the first text encoder and the second"),
            (["x"], "it is not an SDXL checkpoint"),
        ],
    )
    def test_a_single_file_of_another_kind(self, tmp_path: Path, tensors: list[str], reason: str) -> None:
        path = tmp_path / "other.safetensors"
        save_file({name: torch.zeros(1) for name in tensors}, path)
        assert reason in refusal(path)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda path: path.write_bytes(b""),
            lambda path: path.write_bytes(b"PK\x03\x04" + bytes(200)),
            lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        ],
        ids=["empty", "zip", "cut off"],
    )
    def test_a_single_file_that_is_broken(
        self, single_file: Path, tmp_path: Path, spoil: Callable[[Path], object]
    ) -> None:
        path = tmp_path / "broken.safetensors"
        shutil.copy(single_file, path)
        spoil(path)
        assert "cannot be read" in refusal(path)

    def test_a_single_file_of_which_weights_are_missing(self, single_file: Path, tmp_path: Path) -> None:
        tensors = load_file(single_file)
        del tensors["model.diffusion_model.out.2.bias"]
        save_file(tensors, tmp_path / "tiny.safetensors")
        shutil.copytree(single_file.with_suffix(""), tmp_path / "tiny")
        reason = refusal(tmp_path / "tiny.safetensors")
        assert reason.startswith(("weights are missing in unet: 1", "its files are broken"))


def dtypes(pipeline: object) -> dict[str, set[torch.dtype]]:
    return {part: {weight.dtype for weight in getattr(pipeline, part).parameters()} for part in PARTS}


def weights_of(folder: Path, part: str) -> Path:
    (path,) = (folder / part).glob("*.safetensors")
    return path


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
