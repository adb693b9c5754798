"""Nothing of a recipe is passed over: each of its fields changes the picture."""

from __future__ import annotations

import dataclasses
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from generation.catalogue import LoraSpec, ModelSpec
from generation.embeddings import read_embedding
from generation.engine.protocol import Batch, Task
from generation.engine.settings import PainterSettings
from generation.painter.painter import Painter
from generation.recipe import Hires, LoraUse, Mask, Recipe, Source
from tests.painter.lora_files import save_lora
from tests.painter.tiny_sdxl import TEXT_WIDTHS, build_pipeline, build_refiner, recipe, spec_for

BASE = recipe("a boat glow", shared_seed=9, shared_noise=0.2)
# What each field becomes. Those of a pair need each other.
CHANGES: dict[str, dict[str, object]] = {
    "prompt": {"prompt": "a cat glow"},
    "negative_prompt": {"negative_prompt": "fog"},
    "model": {"model": "other"},
    "width": {"width": 72},
    "height": {"height": 72},
    "seed": {"seed": 8},
    "num_inference_steps": {"num_inference_steps": 5},
    "guidance_scale": {"guidance_scale": 3.0},
    "scheduler": {"scheduler": "heun"},
    "loras": {"loras": (LoraUse(name="lines", weight=1.0),)},
    "embeddings": {"embeddings": ("glow",)},
    "source": {"source": Source(digest="s", strength=0.5)},
    "mask": {"source": Source(digest="s", strength=0.5), "mask": Mask(digest="m")},
    "shared_seed": {"shared_seed": 10},
    "shared_noise": {"shared_noise": 0.8},
    "weird": {"weird": 1000},
    "stop": {"stop": 0.5},
    "tile": {"tile": True},
    "hires": {"hires": Hires(width=32, height=32, strength=0.5)},
    "refine": {"refine": 0.5},
}


def test_every_field_is_tried() -> None:
    assert set(CHANGES) == {field.name for field in dataclasses.fields(Recipe)}


class Easel:
    """One painter with all that the recipes name."""

    def __init__(self, tiny: ModelSpec, folder: Path) -> None:
        build_pipeline(seed=5).save_pretrained(folder / "other")
        build_refiner().save_pretrained(folder / "refiner")
        self.models = {
            "tiny": dataclasses.replace(tiny, refiner=str(folder / "refiner")),
            "other": spec_for(folder / "other", name="other"),
        }
        self.lora: LoraSpec = save_lora(folder, "lines", seed=1)
        vectors = {name: torch.ones(1, width) for name, width in zip(("clip_l", "clip_g"), TEXT_WIDTHS, strict=True)}
        save_file(vectors, folder / "glow.safetensors")
        self.embedding = read_embedding(folder / "glow.safetensors")
        self.painter = Painter(PainterSettings(device="cpu"))
        self.files = {"s": self._png(Image.linear_gradient("L").convert("RGB")), "m": self._png(self._mask())}

    def paint(self, wanted: Recipe) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        task = Task(
            job_id=1,
            recipe=wanted,
            source=self.files["s"] if wanted.source else None,
            mask=self.files["m"] if wanted.mask else None,
        )
        batch = Batch(
            tasks=(task,),
            model=self.models[wanted.model],
            loras=(self.lora,) if wanted.loras else (),
            embeddings=(self.embedding,) if wanted.embeddings else (),
        )
        (picture,) = self.painter.paint(batch, on_progress=lambda _: None, cancelled=lambda: False).pictures
        return np.asarray(Image.open(BytesIO(picture.png)))

    @staticmethod
    def _mask() -> Image.Image:
        mask = Image.new("L", (64, 64), 0)
        mask.paste(255, (0, 0, 32, 64))
        return mask

    @staticmethod
    def _png(image: Image.Image) -> bytes:
        file = BytesIO()
        image.resize((64, 64)).save(file, "PNG")
        return file.getvalue()


@pytest.fixture(scope="module")
def easel(tiny: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Easel:
    return Easel(tiny, tmp_path_factory.mktemp("easel"))


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "model"])
def test_it_changes_the_picture_and_leaves_the_next_one_alone(easel: Easel, name: str) -> None:
    changes = CHANGES[name]
    without = {other: value for other, value in changes.items() if other != name}
    plain = easel.paint(dataclasses.replace(BASE, **without))
    changed = easel.paint(dataclasses.replace(BASE, **changes))
    assert changed.shape != plain.shape or np.abs(changed.astype(int) - plain).mean() > 1
    assert (easel.paint(dataclasses.replace(BASE, **without)) == plain).all()


def test_the_model_changes_the_picture(easel: Easel) -> None:
    plain = easel.paint(BASE)
    assert np.abs(easel.paint(dataclasses.replace(BASE, **CHANGES["model"])).astype(int) - plain).mean() > 1
    assert (easel.paint(BASE) == plain).all()
