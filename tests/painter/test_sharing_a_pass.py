"""Pictures that may share a forward pass: each is what it would be alone, whatever the other one is."""

from __future__ import annotations

import dataclasses
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from generation.catalogue import LoraSpec, ModelSpec
from generation.embeddings import read_embedding
from generation.engine.protocol import Batch, Progress, Task
from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable
from generation.loras import read_lora
from generation.painter.guidance_scales import GuidanceScales, scales_of
from generation.painter.painter import Painter
from generation.recipe import PER_PICTURE_FIELDS, LoraUse, Mask, Recipe, Source
from tests.painter.lora_files import save_lora
from tests.painter.tiny_sdxl import TEXT_WIDTHS, recipe

# Batched kernels add in another order than those for one picture; nothing else may differ.
ROUNDING = 0.2
PLAIN = recipe("a boat glow", shared_seed=9, shared_noise=0.2)
PAINTED_ON = recipe("a boat", source=Source(digest="s", strength=0.5))
MASKED = dataclasses.replace(PAINTED_ON, mask=Mask(digest="m"))
# For each field in which pictures of one pass may differ: one picture, and another that differs from it in that.
PAIRS: dict[str, tuple[Recipe, Recipe]] = {
    name: (PLAIN, dataclasses.replace(PLAIN, **{name: value}))
    for name, value in {
        "prompt": "a cat",
        "negative_prompt": "fog",
        "seed": 8,
        "shared_seed": 10,
        "shared_noise": 0.8,
        "weird": 1000,
        "guidance_scale": 2.0,
        "loras": (LoraUse(name="lines", weight=1.0), LoraUse(name="words", weight=-0.5)),
        "embeddings": ("glow",),
    }.items()
} | {
    "source": (PAINTED_ON, dataclasses.replace(PAINTED_ON, source=Source(digest="m", strength=0.5))),
    "mask": (MASKED, dataclasses.replace(MASKED, mask=Mask(digest="s"))),
}


class Easel:
    """A painter with all that the recipes name, and what it told of the last batch."""

    def __init__(self, tiny: ModelSpec, folder: Path) -> None:
        self.model = tiny
        self.painter = Painter(PainterSettings(device="cpu"))
        self.loras = [
            save_lora(folder, "lines", seed=1),
            save_lora(folder, "words", seed=2, text_encoders=True),
            self._dora(save_lora(folder, "dora", seed=3)),
        ]
        vectors = {name: torch.ones(1, width) for name, width in zip(("clip_l", "clip_g"), TEXT_WIDTHS, strict=True)}
        save_file(vectors, folder / "glow.safetensors")
        self.embedding = read_embedding(folder / "glow.safetensors")
        self.files = {"s": _png(Image.linear_gradient("L").rotate(90)), "m": _png(Image.linear_gradient("L"))}
        self.told: list[Progress] = []

    def paint(self, *recipes: Recipe) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
        """In one batch."""
        self.told = []
        tasks = tuple(
            Task(
                job_id=number,
                recipe=one,
                source=self.files[one.source.digest] if one.source else None,
                mask=self.files[one.mask.digest] if one.mask and one.mask.digest else None,
            )
            for number, one in enumerate(recipes)
        )
        batch = Batch(tasks=tasks, model=self.model, loras=tuple(self.loras), embeddings=(self.embedding,))
        painted = self.painter.paint(batch, on_progress=self.told.append, cancelled=lambda: False)
        return [np.asarray(Image.open(BytesIO(picture.png)), dtype=np.int64) for picture in painted.pictures]

    @property
    def passes(self) -> int:
        """In how many the last batch was painted, each of as many steps as a tiny picture has."""
        return self.told[-1].steps // PLAIN.num_inference_steps

    @staticmethod
    def _dora(lora: LoraSpec) -> LoraSpec:
        """The same file with a length for each row of the changed weights."""
        tensors = load_file(lora.path)
        for name in [name for name in tensors if name.endswith(".lora_B.weight")]:
            outputs = len(tensors[name])
            tensors[name.replace(".lora_B.weight", ".lora_magnitude_vector")] = torch.full((outputs,), 0.7)
        save_file(tensors, lora.path)
        return read_lora(lora.path)


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.resize((64, 64)).convert("RGB").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def easel(tiny: ModelSpec, tmp_path_factory: pytest.TempPathFactory) -> Easel:
    return Easel(tiny, tmp_path_factory.mktemp("easel"))


def unlike(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference a pixel and channel, in 255ths."""
    return float(np.abs(one - other).mean())


def test_every_field_in_which_they_may_differ_is_tried() -> None:
    assert set(PAIRS) == PER_PICTURE_FIELDS[Recipe]


@pytest.mark.parametrize("name", PAIRS)
def test_together_they_are_what_each_is_alone(easel: Easel, name: str) -> None:
    one, other = PAIRS[name]
    (alone,), (other_alone,) = easel.paint(one), easel.paint(other)
    together = easel.paint(one, other)
    steps = one.steps_to_run
    assert easel.told[-1].steps == steps, "they took more passes than one"
    assert unlike(alone, other_alone) > 1
    assert unlike(together[0], alone) < ROUNDING
    assert unlike(together[1], other_alone) < ROUNDING


def test_many_different_ones_in_one_pass(easel: Easel) -> None:
    """Two LoRAs, one of them twice with other strengths, and each guided otherwise."""
    lines, words = LoraUse(name="lines", weight=0.8), LoraUse(name="words", weight=1.0)
    recipes = [
        dataclasses.replace(PLAIN, loras=(lines,), guidance_scale=2.0),
        PLAIN,
        dataclasses.replace(PLAIN, loras=(words,), guidance_scale=7.0, seed=11),
        dataclasses.replace(PLAIN, loras=(dataclasses.replace(lines, weight=-0.4), words), prompt="a cat"),
    ]
    together = easel.paint(*recipes)
    assert easel.passes == 1
    for picture, alone in zip(together, recipes, strict=True):
        assert unlike(picture, easel.paint(alone)[0]) < ROUNDING


def test_what_acts_on_weights_as_a_whole_takes_a_pass_of_its_own(easel: Easel) -> None:
    dora = dataclasses.replace(PLAIN, loras=(LoraUse(name="dora"),))
    together = easel.paint(dora, PLAIN)
    assert easel.passes == 2
    assert unlike(together[0], easel.paint(dora)[0]) < ROUNDING
    assert unlike(together[1], easel.paint(PLAIN)[0]) < ROUNDING


def test_in_half_precision_each_lora_takes_a_pass_of_its_own(easel: Easel, tiny: ModelSpec) -> None:
    told: list[Progress] = []
    tasks = tuple(Task(job_id=number, recipe=one) for number, one in enumerate(PAIRS["loras"]))
    batch = Batch(tasks=tasks, model=tiny, loras=tuple(easel.loras))
    half = Painter(PainterSettings(device="cpu", dtype="bfloat16"))
    half.paint(batch, on_progress=told.append, cancelled=lambda: False)
    assert told[-1].steps == 2 * PLAIN.num_inference_steps


def test_nothing_of_a_lora_is_left_after_the_pass(easel: Easel) -> None:
    (before,) = easel.paint(PLAIN)
    easel.paint(*PAIRS["loras"])
    assert (easel.paint(PLAIN)[0] == before).all()


def test_a_lora_that_is_not_there_leaves_the_painter_as_it_was(easel: Easel) -> None:
    (before,) = easel.paint(PLAIN)
    with pytest.raises(ModelUnavailable):
        easel.paint(PLAIN, dataclasses.replace(PLAIN, loras=(LoraUse(name="lost"),)))
    assert (easel.paint(PLAIN)[0] == before).all()


def test_equal_scales_are_a_number_and_different_ones_are_each_pictures_own() -> None:
    assert scales_of([5.0, 5.0]) == 5.0
    scales = scales_of([2.0, 3.0])
    assert isinstance(scales, GuidanceScales)
    assert scales > 1
    assert not scales > 2
    assert torch.equal(scales * torch.ones(2, 1, 1, 1), torch.tensor([2.0, 3.0]).view(2, 1, 1, 1))
    half = torch.full((2, 1, 1, 1), 0.1, dtype=torch.float16)
    assert torch.equal(scales_of([7.3, 1.1]) * half, torch.cat([7.3 * half[:1], 1.1 * half[1:]]))
