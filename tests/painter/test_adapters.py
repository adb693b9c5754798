"""LoRAs as a person meets them: by weight, together, and gone without a trace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from generation.catalogue import LoraSpec, ModelSpec
from generation.engine.protocol import Picture
from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable
from generation.painter.painter import Painter
from generation.recipe import LoraUse
from tests.painter.lora_files import as_kohya, save_lora
from tests.painter.tiny_sdxl import distance, paint, recipe


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoraSpec]:
    folder = tmp_path_factory.mktemp("loras")
    made = [
        save_lora(folder, "lines", seed=1),
        save_lora(folder, "words", seed=2, text_encoders=True),
        save_lora(folder, "keys", seed=3),  # also the name of a method of peft's module dictionaries
        save_lora(folder, "more", seed=4, text_encoders=True),
    ]
    return {lora.name: lora for lora in made}


def with_loras(painter: Painter, model: ModelSpec, loras: dict[str, LoraSpec], **weights: float) -> Picture:
    uses = tuple(LoraUse(name=name, weight=weight) for name, weight in weights.items())
    return paint(painter, model, recipe(loras=uses), loras=tuple(loras.values())).pictures[0]


@pytest.fixture
def fresh(tiny: ModelSpec) -> Painter:
    """A painter that has never seen a LoRA."""
    painter = Painter(PainterSettings(device="cpu"))
    painter.load(tiny)
    return painter


def test_weight_nought_changes_nothing_and_loads_nothing(
    fresh: Painter, tiny: ModelSpec, loras: dict[str, LoraSpec]
) -> None:
    base = paint(fresh, tiny, recipe()).pictures[0]
    assert distance(with_loras(fresh, tiny, loras, lines=0, words=0.0), base) == 0
    assert fresh._models.current is not None
    assert fresh._models.current.adapters.loaded == ()


def test_the_base_comes_back_to_the_bit(fresh: Painter, tiny: ModelSpec, loras: dict[str, LoraSpec]) -> None:
    base = paint(fresh, tiny, recipe()).pictures[0].png
    assert distance(with_loras(fresh, tiny, loras, words=1), paint(fresh, tiny, recipe()).pictures[0]) > 1
    assert paint(fresh, tiny, recipe()).pictures[0].png == base
    with_loras(fresh, tiny, loras, lines=1, words=-0.5, keys=2, more=0.3)
    assert paint(fresh, tiny, recipe()).pictures[0].png == base


def test_more_weight_is_further_from_the_base(painter: Painter, tiny: ModelSpec, loras: dict[str, LoraSpec]) -> None:
    base = paint(painter, tiny, recipe()).pictures[0]
    distances = [distance(with_loras(painter, tiny, loras, lines=weight), base) for weight in (0, 0.1, 0.2, 0.4, 0.8)]
    assert distances == sorted(distances)
    assert distances[0] == 0
    assert distances[1] > 0


def test_each_keeps_its_own_weight_whatever_was_on_before(
    fresh: Painter, painter: Painter, tiny: ModelSpec, loras: dict[str, LoraSpec]
) -> None:
    first = with_loras(fresh, tiny, loras, words=0.5, lines=0.25)
    with_loras(painter, tiny, loras, lines=2, more=1)
    with_loras(painter, tiny, loras, words=-1)
    assert distance(with_loras(painter, tiny, loras, lines=0.25, words=0.5), first) <= 0.2
    assert distance(with_loras(painter, tiny, loras, words=0.5), first) > 1


def test_four_at_once(painter: Painter, tiny: ModelSpec, loras: dict[str, LoraSpec]) -> None:
    four = with_loras(painter, tiny, loras, lines=0.5, words=0.5, keys=0.5, more=0.5)
    three = with_loras(painter, tiny, loras, lines=0.5, words=0.5, keys=0.5)
    assert distance(four, three) > 1


def test_both_ways_of_naming_paint_the_same(painter: Painter, tiny: ModelSpec, loras: dict[str, LoraSpec]) -> None:
    both = {"lines": loras["lines"], "kohya": as_kohya(loras["lines"], "kohya")}
    assert both["kohya"].cross_attention_dim == both["lines"].cross_attention_dim == tiny.cross_attention_dim
    ours, theirs = (with_loras(painter, tiny, both, **{name: 0.8}) for name in both)
    assert distance(ours, theirs) <= 0.2


def test_a_replaced_file_is_read_again(
    painter: Painter, tiny: ModelSpec, loras: dict[str, LoraSpec], tmp_path: Path
) -> None:
    path = tmp_path / "changing.safetensors"
    changing = {"changing": LoraSpec(name="changing", path=path)}
    pictures = []
    for source in ("lines", "words"):
        shutil.copy(loras[source].path, path)
        pictures.append(with_loras(painter, tiny, changing, changing=1))
        assert distance(pictures[-1], with_loras(painter, tiny, loras, **{source: 1})) <= 0.2
    assert distance(*pictures) > 1


def test_no_more_are_kept_than_there_is_room_for(
    fresh: Painter, tiny: ModelSpec, loras: dict[str, LoraSpec], tmp_path: Path
) -> None:
    many = {}
    for number in range(5):
        path = tmp_path / f"copy{number}.safetensors"
        shutil.copy(loras["lines"].path, path)
        many[path.stem] = LoraSpec(name=path.stem, path=path)
    assert fresh._models.current is not None
    adapters = fresh._models.current.adapters
    adapters._kept_bytes = 3 * many["copy0"].path.stat().st_size
    pictures = [with_loras(fresh, tiny, many, **{name: 0.5}) for name in many]
    assert adapters.loaded == ("copy2", "copy3", "copy4")
    assert all(other.png[-5000:] == pictures[0].png[-5000:] for other in pictures)
    with_loras(fresh, tiny, many | loras, copy4=1, copy2=1, copy0=1, more=1)
    assert set(adapters.loaded) == {"copy4", "copy2", "copy0", "more"}
    with_loras(fresh, tiny, loras, lines=0.5)
    assert len(adapters.loaded) <= 3
    assert adapters._patches.kept >= adapters._patches.patched


def test_the_order_of_names_does_not_show(painter: Painter, tiny: ModelSpec, loras: dict[str, LoraSpec]) -> None:
    one = with_loras(painter, tiny, loras, words=0.3, lines=0.7, more=0.9)
    with_loras(painter, tiny, loras, keys=0.3)
    assert distance(with_loras(painter, tiny, loras, more=0.9, lines=0.7, words=0.3), one) == 0


class TestRefused:
    def test_made_for_another_architecture(self, fresh: Painter, tiny: ModelSpec, tmp_path: Path) -> None:
        lora = save_lora(tmp_path, "wide", seed=1)
        tensors = load_file(lora.path)
        for name, tensor in tensors.items():
            if ".attn2.to_k.lora_A" in name:
                tensors[name] = tensor.repeat(1, 2)
        save_file(tensors, lora.path)
        self.check(fresh, tiny, lora, "does not fit")

    def test_gone(self, fresh: Painter, tiny: ModelSpec, tmp_path: Path) -> None:
        self.check(fresh, tiny, LoraSpec(name="gone", path=tmp_path / "gone.safetensors"), "No such file")

    def test_unknown(self, fresh: Painter, tiny: ModelSpec) -> None:
        with pytest.raises(ModelUnavailable, match="not found"):
            with_loras(fresh, tiny, {}, nowhere=1)

    def test_not_safetensors(self, fresh: Painter, tiny: ModelSpec, tmp_path: Path) -> None:
        path = tmp_path / "cut.safetensors"
        path.write_bytes(b"\x10" * 40)
        self.check(fresh, tiny, LoraSpec(name="cut", path=path), "does not fit")

    def test_pickled(self, fresh: Painter, tiny: ModelSpec, tmp_path: Path) -> None:
        path = tmp_path / "old.pt"
        path.write_bytes(b"anything")
        self.check(fresh, tiny, LoraSpec(name="old", path=path), "LoRA old")

    def test_layers_that_the_model_does_not_have(self, fresh: Painter, tiny: ModelSpec, tmp_path: Path) -> None:
        lora = save_lora(tmp_path, "elsewhere", seed=1)
        tensors = load_file(lora.path)
        save_file({name.replace("unet.", "unet.elsewhere."): tensor for name, tensor in tensors.items()}, lora.path)
        self.check(fresh, tiny, lora, "none of its layers|does not fit")

    def check(self, fresh: Painter, model: ModelSpec, lora: LoraSpec, reason: str) -> None:
        base = paint(fresh, model, recipe()).pictures[0].png
        for _ in range(2):
            with pytest.raises(ModelUnavailable, match=reason):
                with_loras(fresh, model, {lora.name: lora}, **{lora.name: 1})
        assert paint(fresh, model, recipe()).pictures[0].png == base
