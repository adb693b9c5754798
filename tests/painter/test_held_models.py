"""Which models a painter holds, and that a model that comes back paints what it painted before."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest
import torch

from generation.catalogue import LoraSpec, ModelSpec
from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable
from generation.painter.devices import Placement
from generation.painter.held_models import HeldModels
from generation.painter.painter import Painter
from generation.recipe import LoraUse
from tests.painter.lora_files import save_lora
from tests.painter.tiny_sdxl import build_pipeline, build_refiner, distance, paint, recipe, spec_for

NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSpec]:
    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(NAMES):
        build_pipeline(seed).save_pretrained(folder / name)
    return {name: spec_for(folder / name, name=name) for name in NAMES}


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> LoraSpec:
    return save_lora(tmp_path_factory.mktemp("loras"), "words", seed=2, text_encoders=True)


def gigabytes(models: float) -> float:
    """What so many of these models take."""
    pipeline = build_pipeline()
    modules = (pipeline.unet, pipeline.vae, pipeline.text_encoder, pipeline.text_encoder_2)
    return models * sum(tensor.nbytes for module in modules for tensor in module.state_dict().values()) / 1e9


def picture(painter: Painter, specs: dict[str, ModelSpec], name: str, **changes: object) -> bytes:
    return paint(painter, specs[name], recipe(model=name, **changes)).pictures[0].png


def weights(painter: Painter) -> dict[str, torch.Tensor]:
    """Of the model at work, as they are now."""
    assert painter._models.current is not None
    pipeline = painter._models.current.text_to_image
    parts = {name: getattr(pipeline, name) for name in ("unet", "vae", "text_encoder", "text_encoder_2")}
    return {f"{part}.{name}": value.clone() for part in parts for name, value in parts[part].state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


class TestInMainMemory:
    def test_without_a_budget_it_is_one_at_a_time(self, specs: dict[str, ModelSpec]) -> None:
        painter = Painter(PainterSettings(device="cpu"))
        painter.load(specs["a"])
        assert painter._models.current is not None
        unet = weakref.ref(painter._models.current.text_to_image.unet)
        painter.load(specs["b"])
        assert painter._models.names == ("b",)
        assert unet() is None

    def test_those_used_last_stay_as_far_as_the_budget_goes(
        self, specs: dict[str, ModelSpec], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        painter = Painter(PainterSettings(device="cpu", models_in_memory_gigabytes=gigabytes(2.5)))
        first = {name: picture(painter, specs, name) for name in ("a", "b")}
        assert first["a"] != first["b"]
        assert painter._models.names == ("a", "b")
        with monkeypatch.context() as patch:
            patch.setattr("generation.painter.held_models.load_model", _not_again)
            assert {name: picture(painter, specs, name) for name in ("b", "a")} == first
        picture(painter, specs, "c")
        assert painter._models.names == ("a", "c")
        assert picture(painter, specs, "b") == first["b"]
        assert painter._models.names == ("c", "b")

    def test_another_model_of_the_same_name_is_loaded(self, specs: dict[str, ModelSpec]) -> None:
        painter = Painter(PainterSettings(device="cpu", models_in_memory_gigabytes=1))
        renamed = {"a": spec_for(specs["b"].source, name="a")}
        old = picture(painter, specs, "a")
        assert picture(painter, renamed, "a") != old
        assert painter._models.names == ("a",)

    def test_one_that_cannot_be_loaded_does_not_spoil_the_others(self, specs: dict[str, ModelSpec]) -> None:
        painter = Painter(PainterSettings(device="cpu", models_in_memory_gigabytes=1))
        before = picture(painter, specs, "a")
        with pytest.raises(ModelUnavailable):
            painter.load(spec_for("/nowhere", name="b"))
        assert painter._models.names == ("a",)
        assert picture(painter, specs, "a") == before

    def test_its_loras_stay_with_a_model_that_stays(self, specs: dict[str, ModelSpec], lora: LoraSpec) -> None:
        painter = Painter(PainterSettings(device="cpu", models_in_memory_gigabytes=1))
        plain = picture(painter, specs, "a")
        paint(painter, specs["a"], recipe(model="a", loras=(LoraUse(name="words"),)), loras=(lora,))
        adapters = painter._models._held["a"].model.adapters
        assert adapters._patches.kept
        picture(painter, specs, "b")
        assert adapters.loaded == ("words",)
        assert not adapters._patches.kept
        assert picture(painter, specs, "a") == plain

    def test_loras_of_all_that_wait_share_one_budget(
        self, specs: dict[str, ModelSpec], lora: LoraSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        painter = Painter(PainterSettings(device="cpu", models_in_memory_gigabytes=1))
        for name in ("a", "b"):
            paint(painter, specs[name], recipe(model=name, loras=(LoraUse(name="words"),)), loras=(lora,))
        adapters = {name: painter._models._held[name].model.adapters for name in ("a", "b")}
        monkeypatch.setattr("generation.painter.held_models.KEPT_BYTES", adapters["a"].nbytes)
        painter.load(specs["c"])
        assert {name: each.loaded for name, each in adapters.items()} == {"a": (), "b": ("words",)}


class TestBesideTheDevice:
    """The CPU stands in for the device: `apart` is what tells the two kinds of memory from each other."""

    @pytest.fixture
    def painter(self, monkeypatch: pytest.MonkeyPatch) -> Painter:
        settings = PainterSettings(
            device="cpu", models_on_device_gigabytes=gigabytes(1.5), models_in_memory_gigabytes=gigabytes(2.5)
        )
        painter = Painter(settings)
        monkeypatch.setattr("generation.painter.held_models.has_memory_of_its_own", lambda device: True)
        placement = Placement(device=torch.device("cpu"), dtype=torch.float32, vram="full")
        painter._models = HeldModels(settings, placement)
        return painter

    def test_one_that_leaves_waits_and_comes_back(
        self, painter: Painter, specs: dict[str, ModelSpec], lora: LoraSpec, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        painter.load(specs["a"])
        own = weights(painter)
        painter.load(specs["b"])
        held = painter._models._held
        assert {name: held[name].on_device for name in ("a", "b")} == {"a": False, "b": True}
        monkeypatch.setattr("generation.painter.held_models.load_model", _not_again)
        for _ in range(2):
            plain = paint(painter, specs["a"], recipe(model="a")).pictures[0]
            assert same(weights(painter), own)
            # What leaves is the model's own, whatever is in its weights at that moment.
            changed = paint(painter, specs["a"], recipe(model="a", loras=(LoraUse(name="words"),)), loras=(lora,))
            assert distance(changed.pictures[0], plain) > 1
            assert not same(weights(painter), own)
            painter.load(specs["b"])
            assert not held["a"].on_device
        painter.load(specs["a"])
        assert same(weights(painter), own)

    def test_the_oldest_of_those_that_wait_goes(self, painter: Painter, specs: dict[str, ModelSpec]) -> None:
        for name in ("a", "b", "c"):
            painter.load(specs[name])
        assert painter._models.names == ("a", "b", "c")
        painter._models._waiting_bytes = round(gigabytes(1.5) * 1e9)
        painter.load(specs["a"])
        assert painter._models.names == ("c", "a")

    def test_pictures_come_before_models_that_are_held(
        self, painter: Painter, specs: dict[str, ModelSpec], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        painter._models._device_bytes = round(gigabytes(3) * 1e9)
        expected = paint(painter, specs["b"], recipe(model="b")).pictures[0]
        painter.load(specs["a"])
        painter.load(specs["b"])
        assert painter._models.could_give_way()
        assert painter._models.current is not None
        unet = painter._models.current.text_to_image.unet
        tried: list[int] = []

        def memory(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            tried.append(len(inputs[0]) // 2)
            if painter._models.could_give_way():
                raise torch.OutOfMemoryError("pretended")

        with unet.register_forward_pre_hook(memory):
            after = paint(painter, specs["b"], recipe(model="b")).pictures[0]
        assert tried[:2] == [1, 1]
        assert distance(after, expected) <= 0.2


def _not_again(*_: object) -> None:
    raise AssertionError("it was loaded once more")


def test_the_one_at_work_stays_whatever_the_budget(specs: dict[str, ModelSpec]) -> None:
    painter = Painter(PainterSettings(device="cpu", models_in_memory_gigabytes=gigabytes(0.1)))
    painter.load(specs["a"])
    assert painter._models.names == ("a",)


def test_a_refiner_that_came_later_leaves_with_its_model(
    specs: dict[str, ModelSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_refiner().save_pretrained(tmp_path / "refiner")
    refined = spec_for(specs["a"].source, name="a", refiner=str(tmp_path / "refiner"))
    monkeypatch.setattr("generation.painter.held_models.has_memory_of_its_own", lambda device: True)
    settings = PainterSettings(device="cpu", models_in_memory_gigabytes=1)
    models = HeldModels(settings, Placement(device=torch.device("cpu"), dtype=torch.float32, vram="full"))
    for spec in (refined, specs["b"], refined):
        models.model(spec)
    weight = models.refiner(refined).pipeline.unet.conv_in.weight
    there, own = weight.data_ptr(), weight.clone()
    models.model(specs["b"])
    assert not models._held["a"].on_device
    assert weight.data_ptr() != there
    models.model(refined)
    assert torch.equal(models.refiner(refined).pipeline.unet.conv_in.weight, own)
