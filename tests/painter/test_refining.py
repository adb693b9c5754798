"""A refiner takes the last steps, is loaded beside its model when it is asked for, and goes when its model goes."""

from __future__ import annotations

import dataclasses
import gc
import json
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from generation.catalogue import ModelSpec
from generation.engine.protocol import Picture, Progress
from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable, PaintingCancelled
from generation.painter.painter import Painter
from generation.painter.schedulers import SCHEDULERS
from generation.recipe import Recipe, Source
from tests.painter.original_checkpoint import save_original_refiner
from tests.painter.tiny_sdxl import build_pipeline, build_refiner, distance, paint, recipe, saving_memory, spec_for

SECOND_ORDER = ("heun", "dpm2", "dpm2_a")


@pytest.fixture(scope="module")
def refiner_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refiner") / "model"
    build_refiner().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def refined(tiny: ModelSpec, refiner_folder: Path) -> ModelSpec:
    return dataclasses.replace(tiny, refiner=str(refiner_folder))


@pytest.fixture(scope="module")
def artist(refined: ModelSpec) -> Painter:
    painter = Painter(PainterSettings(device="cpu"))
    painter.load(refined)
    return painter


@pytest.fixture
def evaluations(artist: Painter, refined: ModelSpec) -> Iterator[dict[str, list[int]]]:
    """At which timesteps each network is asked."""
    paint(artist, refined, recipe(refine=0.5))
    assert artist._models.current is not None
    assert artist._models.current_refiner is not None
    asked: dict[str, list[int]] = {"model": [], "refiner": []}

    def note(who: str, timestep: object) -> None:
        asked[who].append(round(float(timestep)))  # type: ignore[arg-type]

    hooks = [
        unet.register_forward_pre_hook(lambda _, inputs, who=who: note(who, inputs[1]))
        for who, unet in (
            ("model", artist._models.current.text_to_image.unet),
            ("refiner", artist._models.current_refiner.pipeline.unet),
        )
    ]
    yield asked
    for hook in hooks:
        hook.remove()


def one(painter: Painter, model: ModelSpec, wanted: Recipe, source: bytes | None = None) -> Picture:
    return paint(painter, model, wanted, sources=(source,) if source else ()).pictures[0]


class TestSteps:
    @pytest.mark.parametrize("scheduler", [None, *SCHEDULERS])
    def test_the_last_steps_are_the_refiners(
        self, artist: Painter, refined: ModelSpec, evaluations: dict[str, list[int]], scheduler: str | None
    ) -> None:
        seen: list[Progress] = []
        wanted = recipe(num_inference_steps=10, refine=0.3, scheduler=scheduler)
        paint(artist, refined, wanted, on_progress=seen.append)
        assert min(evaluations["model"]) > min(evaluations["refiner"])
        if scheduler in SECOND_ORDER:
            # Two evaluations a step but for the last, and one that the model makes in vain.
            assert [len(evaluations[who]) for who in ("model", "refiner")] == [15, 5]
        else:
            assert min(evaluations["model"]) > max(evaluations["refiner"])
            assert [len(evaluations[who]) for who in ("model", "refiner")] == [7, 3]
        assert (seen[-1].step, seen[-1].steps) == (10, 10)

    def test_from_a_picture_too(self, artist: Painter, refined: ModelSpec, evaluations: dict[str, list[int]]) -> None:
        source = one(artist, refined, recipe()).png
        evaluations["model"].clear()
        wanted = recipe(num_inference_steps=10, refine=0.4, source=Source(digest="", strength=0.5))
        one(artist, refined, wanted, source)
        assert [len(evaluations[who]) for who in ("model", "refiner")] == [3, 2]

    @pytest.mark.parametrize(("stop", "counts"), [(0.5, [5, 0]), (0.6, [6, 0]), (0.8, [6, 2]), (1.0, [6, 4])])
    def test_stop_cuts_off_the_end(
        self,
        artist: Painter,
        refined: ModelSpec,
        evaluations: dict[str, list[int]],
        stop: float,
        counts: list[int],
    ) -> None:
        one(artist, refined, recipe(num_inference_steps=10, refine=0.4, stop=stop))
        assert [len(evaluations[who]) for who in ("model", "refiner")] == counts

    def test_the_model_always_begins(
        self, artist: Painter, refined: ModelSpec, evaluations: dict[str, list[int]]
    ) -> None:
        one(artist, refined, recipe(refine=1.0))
        assert [len(evaluations[who]) for who in ("model", "refiner")] == [1, 3]
        one(artist, refined, recipe(num_inference_steps=1, refine=1.0))
        assert [len(evaluations[who]) for who in ("model", "refiner")] == [2, 3]

    @pytest.mark.parametrize("steps", [60, 240])
    def test_steps_too_close_to_be_told_apart(self, artist: Painter, refined: ModelSpec, steps: int) -> None:
        seen: list[Progress] = []
        wanted = recipe(num_inference_steps=steps, refine=1 / steps, scheduler="dpmpp_2m_karras")
        paint(artist, refined, wanted, on_progress=seen.append)
        assert seen[-1].step == steps


class TestPictures:
    def test_more_of_it_is_further_from_the_plain_picture(self, artist: Painter, refined: ModelSpec) -> None:
        plain = one(artist, refined, recipe(num_inference_steps=8))
        shares = (0.0, 0.25, 0.5, 0.75)
        distances = [
            distance(one(artist, refined, recipe(num_inference_steps=8, refine=share)), plain) for share in shares
        ]
        assert distances == sorted(distances)
        assert distances[0] == 0
        assert distances[1] > 1

    def test_alone_and_in_a_batch_it_is_the_same_picture(self, artist: Painter, refined: ModelSpec) -> None:
        recipes = [
            recipe("a boat", seed=1, refine=0.5, scheduler="euler_a"),
            recipe("a house", seed=2, refine=0.5, scheduler="euler_a", negative_prompt="fog"),
        ]
        together = paint(artist, refined, *recipes).pictures
        for wanted, picture in zip(recipes, together, strict=True):
            assert distance(one(artist, refined, wanted), picture) <= 0.2

    def test_with_parts_waiting_in_main_memory(self, artist: Painter, refined: ModelSpec) -> None:
        saving = saving_memory()
        expected = one(artist, refined, recipe(refine=0.5))
        for _ in range(2):
            assert distance(one(saving, refined, recipe(refine=0.5)), expected) <= 0.2
            with pytest.raises(PaintingCancelled):
                paint(saving, refined, recipe(refine=0.5), cancelled=lambda: True)


class TestLoading:
    def test_only_when_it_is_asked_for_and_gone_with_its_model(self, refined: ModelSpec, tmp_path: Path) -> None:
        painter = Painter(PainterSettings(device="cpu"))
        one(painter, refined, recipe())
        assert painter._models.current_refiner is None
        one(painter, refined, recipe(refine=0.5))
        assert painter._models.current_refiner is not None
        assert painter._models.current is not None
        modules = [
            weakref.ref(module)
            for module in (
                painter._models.current.text_to_image.unet,
                painter._models.current.vae,
                painter._models.current_refiner.pipeline.unet,
                painter._models.current_refiner.pipeline.text_encoder_2,
            )
        ]
        gone_before_the_next_came: list[bool] = []

        def watch(*_: object) -> None:
            gc.collect()
            gone_before_the_next_came.append(all(module() is None for module in modules))

        build_pipeline(seed=3).save_pretrained(tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            from generation.painter import held_models as module

            load = module.load_model
            patch.setattr(module, "load_model", lambda *arguments: (watch(), load(*arguments))[1])
            one(painter, spec_for(tmp_path), recipe())
        assert gone_before_the_next_came == [True]
        assert painter._models.current_refiner is None

    def test_a_model_without_one_says_so(self, painter: Painter, tiny: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="none is configured") as caught:
            one(painter, tiny, recipe(refine=0.2))
        assert caught.value.fields["name"] == "refiner of tiny"
        assert one(painter, tiny, recipe()).width == 64

    @pytest.mark.parametrize("part", ["unet", "text_encoder_2"])
    def test_weights_that_are_not_there(self, tiny: ModelSpec, refiner_folder: Path, tmp_path: Path, part: str) -> None:
        copy = shutil.copytree(refiner_folder, tmp_path / "copy")
        (weights,) = (copy / part).glob("*.safetensors")
        tensors = load_file(weights)
        del tensors[min(tensors)]
        save_file(tensors, weights, metadata={"format": "pt"})
        assert "weights are missing" in self.refusal(tiny, copy)
        weights.unlink()
        assert "there are no .safetensors weights" in self.refusal(tiny, copy)
        weights.with_suffix(".bin").write_bytes(b"never opened")
        assert "can run code" in self.refusal(tiny, copy)

    def test_a_single_file_refines_as_the_folder_does(
        self, artist: Painter, refined: ModelSpec, refiner_folder: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "refiner.safetensors"
        save_original_refiner(build_refiner(), path)
        shutil.copytree(refiner_folder, path.with_suffix(""), ignore=shutil.ignore_patterns("*.safetensors"))
        painter = Painter(PainterSettings(device="cpu"))
        picture = one(painter, dataclasses.replace(refined, refiner=str(path)), recipe(refine=0.5))
        assert distance(picture, one(artist, refined, recipe(refine=0.5))) <= 0.2

    def test_another_kind_of_model(self, tiny: ModelSpec, refiner_folder: Path, tmp_path: Path) -> None:
        assert self.refusal(tiny, Path(tiny.source)) == "it is not an SDXL refiner"
        assert "model_index.json" in self.refusal(tiny, tmp_path)
        assert "there is no folder" in self.refusal(tiny, tmp_path / "nowhere")
        single = tmp_path / "other.safetensors"
        save_file({"x": torch.zeros(1)}, single)
        assert self.refusal(tiny, single) == "it is not an SDXL refiner"
        copy = shutil.copytree(refiner_folder, tmp_path / "copy")
        index = json.loads((copy / "model_index.json").read_text())
        (copy / "model_index.json").write_text(json.dumps(index | {"_class_name": "FluxPipeline"}))
        assert self.refusal(tiny, copy) == "it is not an SDXL refiner"

    def refusal(self, tiny: ModelSpec, source: Path) -> str:
        painter = Painter(PainterSettings(device="cpu"))
        with pytest.raises(ModelUnavailable) as caught:
            one(painter, dataclasses.replace(tiny, refiner=str(source)), recipe(refine=0.5))
        return str(caught.value.fields["reason"])
