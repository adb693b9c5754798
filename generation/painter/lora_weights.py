"""What a LoRA file holds: for each module that it changes, two matrices whose product is added to its weight.

diffusers reads the files and knows the ways of naming what is in them (its own, peft's, kohya's sd-scripts'); here the
names become those of the modules, and nothing is put into the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers.utils import (
    convert_state_dict_to_diffusers,
    convert_state_dict_to_peft,
    convert_unet_state_dict_to_peft,
)
from peft import LoraConfig
from peft.utils.other import get_pattern_key
from torch import Tensor

# The parts of a pipeline that a LoRA may change.
PARTS = ("unet", "text_encoder", "text_encoder_2")
# A part of a pipeline, and the name of a module in it.
Place: TypeAlias = tuple[str, str]

_DOWN, _UP, _MAGNITUDE, _BIAS = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector", ".lora_B.bias"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One module's share: `scale` × up @ down is added to its weight (outputs × inputs, and × kernel of a convolution).

    `down` is rank × inputs (× kernel), `up` is outputs × rank (× 1 × 1). With a `magnitude` (DoRA, arXiv 2402.09353)
    the sum's rows are then brought to these lengths.
    """

    down: Tensor
    up: Tensor
    scale: float
    magnitude: Tensor | None = None

    def added_to(self, weight: Tensor, original: Tensor, strength: float) -> None:
        """Change `weight` in place by this layer as often as `strength` says; `original` is the model's own."""
        scale = self.scale * strength
        up, down = self.up.flatten(1), self.down.flatten(1)
        if self.magnitude is not None:
            whole = original + scale * (up @ down).view(original.shape)
            factor = self.magnitude.flatten() / whole.flatten(1).norm(dim=1)
            weight.add_(whole * factor.view(-1, *[1] * (whole.dim() - 1)) - original)
        elif weight.dim() == 2:
            weight.addmm_(up, down, alpha=scale)
        else:
            weight.add_((up @ down).view(weight.shape), alpha=scale)


@dataclass(frozen=True, slots=True)
class _Slice:
    start: int
    shape: tuple[int, ...]

    def of(self, flat: Tensor) -> Tensor:
        return flat[self.start : self.start + prod(self.shape)].view(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredLayer:
    down: _Slice
    up: _Slice
    scale: float
    magnitude: _Slice | None


class LoraWeights:
    """One file's layers in main memory, as one run of numbers, so that one copy brings them to a device."""

    def __init__(self, layers: Mapping[Place, Layer], *, pinned: bool) -> None:
        """`pinned` memory is never swapped out, and a CUDA device reads it several times as fast."""
        self._stored: dict[Place, _StoredLayer] = {}
        tensors: list[Tensor] = []
        length = 0

        def stored(tensor: Tensor) -> _Slice:
            nonlocal length
            tensors.append(tensor.flatten())
            start, length = length, length + tensor.numel()
            return _Slice(start, tuple(tensor.shape))

        for place, layer in layers.items():
            magnitude = None if layer.magnitude is None else stored(layer.magnitude)
            self._stored[place] = _StoredLayer(
                down=stored(layer.down), up=stored(layer.up), scale=layer.scale, magnitude=magnitude
            )
        flat = torch.cat(tensors) if tensors else torch.empty(0)
        self._flat = flat.pin_memory() if pinned else flat

    @property
    def places(self) -> frozenset[Place]:
        """The modules that it changes."""
        return frozenset(self._stored)

    @property
    def has_magnitudes(self) -> bool:
        """Whether it scales what it is added to (DoRA), anywhere."""
        return any(stored.magnitude is not None for stored in self._stored.values())

    @property
    def nbytes(self) -> int:
        """The memory that it takes."""
        return self._flat.nbytes

    def on(self, device: torch.device) -> dict[Place, Layer]:
        """The layers there, in float32."""
        flat = self._flat.to(device, non_blocking=True).float()
        return {
            place: Layer(
                down=stored.down.of(flat),
                up=stored.up.of(flat),
                scale=stored.scale,
                magnitude=None if stored.magnitude is None else stored.magnitude.of(flat),
            )
            for place, stored in self._stored.items()
        }


def read_layers(pipeline: Any, path: Path) -> dict[Place, Layer]:
    """The layers of a .safetensors file, by the pipeline's modules; also those that the pipeline does not have.

    Raises `OSError`, `SafetensorError`, or `ValueError` for what is no LoRA; other errors of diffusers pass through.
    """
    tensors, alphas, metadata = pipeline.lora_state_dict(
        str(path.parent),
        weight_name=path.name,
        unet_config=pipeline.unet.config,
        use_safetensors=True,
        local_files_only=True,
        return_lora_metadata=True,
    )
    layers: dict[Place, Layer] = {}
    for part in PARTS:
        own = {name: tensor for name, tensor in tensors.items() if name.startswith(f"{part}.")}
        if own:
            layers |= _part_layers(pipeline, part, own, alphas or {}, metadata)
    return layers


def _part_layers(
    pipeline: Any, part: str, tensors: dict[str, Tensor], alphas: Mapping[str, float], metadata: Any
) -> Iterator[tuple[Place, Layer]]:
    # The converters look at names alone: what they make of each name is what comes out under the new one.
    renamed = _renamed(pipeline, part, {name.removeprefix(f"{part}."): name for name in tensors})
    config = None if metadata is None else _config(metadata, part)
    for name, stored_as in renamed.items():
        if not name.endswith(_DOWN):
            continue
        module = name.removesuffix(_DOWN)
        if f"{module}{_BIAS}" in renamed:
            raise ValueError(f"{module} has a bias")
        down, up = tensors[stored_as], tensors[renamed[f"{module}{_UP}"]]
        rank = down.shape[0]
        if config is None:
            # Where nothing is said, alpha is the rank.
            scale = alphas.get(stored_as.split(".lora.")[0] + ".alpha", rank) / rank
        else:
            alpha = config.alpha_pattern.get(get_pattern_key(config.alpha_pattern, module), config.lora_alpha)
            scale = alpha / (rank**0.5 if config.use_rslora else rank)
        magnitude = renamed.get(f"{module}{_MAGNITUDE}") or renamed.get(f"{module}{_MAGNITUDE}.weight")
        yield (
            (part, module),
            Layer(down=down, up=up, scale=scale, magnitude=None if magnitude is None else tensors[magnitude]),
        )


def _renamed(pipeline: Any, part: str, names: dict[str, str]) -> dict[str, str]:
    """The values by peft's names."""
    if part == "unet":
        renamed: dict[str, str] = (
            names if any(".lora_A" in name for name in names) else convert_unet_state_dict_to_peft(names)
        )
        return renamed
    renamed = convert_state_dict_to_peft(convert_state_dict_to_diffusers(names))
    if hasattr(getattr(pipeline, part), "text_model"):
        return renamed
    # Older files were made when there was one module more around the encoder's.
    return {name.removeprefix("text_model."): stored_as for name, stored_as in renamed.items()}


def _config(metadata: Mapping[str, Any], part: str) -> LoraConfig | None:
    """What the file's header says of how peft made it."""
    own = {name.removeprefix(f"{part}."): value for name, value in metadata.items() if name.startswith(f"{part}.")}
    return LoraConfig(**own) if own else None
