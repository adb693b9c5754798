"""Pictures with different LoRAs in one forward pass: each LoRA acts on the rows of its own pictures.

Within a pass the weights are the model's own, and beside each module that a LoRA changes its two matrices are applied
to the rows that want it, as peft does it for all rows; in float32 that is what changed weights give but for rounding.
A step costs a little more so than with the LoRA in the weights, and much less than one step for each LoRA where the
machine is slow at beginning things and not at the sums themselves, as with a small model on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from generation.catalogue import LoraSpec
from generation.painter.devices import Placement
from generation.painter.lora_weights import Layer, Place
from generation.painter.models import LoadedModel
from generation.recipe import LoraUse

# What acts on pictures that use the same: the layers by module, each with how strongly it acts.
Layers: TypeAlias = Mapping[Place, Sequence[tuple[Layer, float]]]


def mixes(placement: Placement) -> bool:
    """Whether this painter paints such pictures in one pass.

    Where modules are compiled what hangs on them would be passed over; in half precision the two ways round
    differently; and on a GPU it has not been measured whether it is worth it.
    """
    eager = placement.acceleration.compile == "off" and not placement.acceleration.fp8
    return eager and placement.device.type == "cpu" and placement.dtype == torch.float32


@contextmanager
def loras_acting(model: LoadedModel, uses: Sequence[tuple[LoraUse, ...]], specs: Sequence[LoraSpec]) -> Iterator[None]:
    """While this holds, the UNet predicts for so many pictures, for each with the LoRAs that it uses.

    Where all use the same these are in the weights. Raises as `Adapters.switch` does.
    """
    if len(set(uses)) == 1:
        model.adapters.switch(uses[0], specs)
        yield
        return
    model.adapters.switch((), specs)
    unet = model.text_to_image.unet
    deltas: dict[str, list[_Delta]] = {}
    for same in dict.fromkeys(uses):
        pictures = [picture for picture, used in enumerate(uses) if used == same]
        for (part, name), layers in model.adapters.layers(same, specs).items():
            if part == "unet":
                deltas.setdefault(name, []).append(_Delta.of(pictures, layers, unet.get_submodule(name).weight))
    with ExitStack() as hooks:
        for name, added in deltas.items():
            handle = unet.get_submodule(name).register_forward_hook(_Hook(len(uses), added))
            hooks.callback(handle.remove)
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class _Delta:
    """What is added to a module's output on the rows of some pictures. Several LoRAs are one with all their ranks."""

    pictures: Sequence[int]
    down: Tensor  # as the weight, with the rank for its outputs
    up: Tensor  # as the weight, with the rank for its inputs, and 1 × 1 for a convolution

    @classmethod
    def of(cls, pictures: Sequence[int], layers: Sequence[tuple[Layer, float]], weight: Tensor) -> _Delta:
        down = torch.cat([layer.down.view(-1, *weight.shape[1:]) for layer, _ in layers])
        up = torch.cat([layer.up.flatten(1) * layer.scale * strength for layer, strength in layers], dim=1)
        return cls(pictures=pictures, down=down, up=up.view(*up.shape, *[1] * (weight.dim() - 2)))

    def on(self, module: torch.nn.Module, inputs: Tensor) -> Tensor:
        """What it adds to the module's output for these rows."""
        if isinstance(module, torch.nn.Conv2d):
            # With the module's own stride and padding, also where that goes round to the opposite edge.
            narrow = module._conv_forward(inputs, self.down, None)
            return torch.nn.functional.conv2d(narrow, self.up)
        return torch.nn.functional.linear(torch.nn.functional.linear(inputs, self.down), self.up)


class _Hook:
    """A module's forward hook. The rows are the pictures', once, or once more for each with its prompt."""

    def __init__(self, pictures: int, deltas: Sequence[_Delta]) -> None:
        self._pictures = pictures
        self._deltas = deltas
        self._rows: dict[int, list[Tensor]] = {}  # by how many there are

    def __call__(self, module: torch.nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        for rows, delta in zip(self._rows_of(output), self._deltas, strict=True):
            output.index_add_(0, rows, delta.on(module, inputs[0].index_select(0, rows)))
        return output

    def _rows_of(self, output: Tensor) -> list[Tensor]:
        if len(output) not in self._rows:
            starts = torch.arange(0, len(output), self._pictures)[:, None]
            self._rows[len(output)] = [
                (starts + torch.tensor(delta.pictures)).flatten().to(output.device) for delta in self._deltas
            ]
        return self._rows[len(output)]
