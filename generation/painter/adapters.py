"""LoRAs on a loaded model: each is read once, then added to the weights and taken out again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import structlog
import torch
from safetensors import SafetensorError

from generation.catalogue import LoraSpec
from generation.errors import ModelUnavailable
from generation.painter.devices import is_out_of_memory
from generation.painter.lora_weights import Layer, LoraWeights, Place, read_layers
from generation.painter.weight_patches import WeightPatches
from generation.recipe import LoraUse
from generation.safetensors_header import read_header

# Main memory for LoRAs that were read and are not in use: of the model at work, and once more of all others that are
# held. SDXL's weigh 50 to 400 MB each.
KEPT_BYTES = 2 * 1024**3


class Adapters:
    """The LoRAs of one model. With none switched on, pictures are the base model's to the bit."""

    def __init__(self, pipeline: Any, device: torch.device, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._pipeline = pipeline
        self._device = device
        self._kept_bytes = kept_bytes
        self._patches = WeightPatches(pipeline, device)
        # By name, least recently used first: which file each is from, and what was in it.
        self._read: dict[str, tuple[object, LoraWeights]] = {}
        self._acting: dict[str, tuple[object, float]] = {}  # name → which file, and how strongly

    @property
    def loaded(self) -> tuple[str, ...]:
        """The LoRAs that are in memory, the least recently used first."""
        return tuple(self._read)

    def switch(self, uses: Iterable[LoraUse], specs: Sequence[LoraSpec]) -> None:
        """Let exactly these LoRAs act, with these weights; weight 0 is as good as none.

        Raises `ModelUnavailable` for a LoRA that is not among `specs`, cannot be read or does not fit the model. None
        acts then.
        """
        try:
            wanted = self._wanted(uses, specs)
        except ModelUnavailable:
            self._act({})
            raise
        self._act(wanted)
        self._make_room(keep=wanted)

    def can_be_mixed(self, uses: Iterable[LoraUse], specs: Sequence[LoraSpec]) -> bool:
        """Whether these can act on rows of a pass. DoRA's cannot: there the sum with the weight is scaled.

        Raises as `switch` does.
        """
        wanted = self._wanted(uses, specs)
        can = not any(self._read[name][1].has_magnitudes for name in wanted)
        self._make_room(keep=wanted)
        return can

    def layers(self, uses: Iterable[LoraUse], specs: Sequence[LoraSpec]) -> dict[Place, list[tuple[Layer, float]]]:
        """What these LoRAs would add to which module, each layer with how strongly; nothing is switched.

        Raises as `switch` does.
        """
        added: dict[Place, list[tuple[Layer, float]]] = {}
        wanted = self._wanted(uses, specs)
        for name, (_, strength) in wanted.items():
            for place, layer in self._read[name][1].on(self._device).items():
                added.setdefault(place, []).append((layer, strength))
        self._make_room(keep=wanted)
        return added

    @property
    def nbytes(self) -> int:
        """What the LoRAs take that are in memory."""
        return sum(weights.nbytes for _, weights in self._read.values())

    def take_out(self, *, kept_bytes: int = KEPT_BYTES) -> None:
        """Let none act, keep no more of the model's weights than the model does, and so much of LoRAs."""
        self._act({})
        while self.nbytes > kept_bytes:
            del self._read[next(iter(self._read))]
        self._patches.forget(needed=())

    @property
    def on_device(self) -> bool:
        """Whether the device holds anything here that pictures do not need."""
        return self._patches.on_device

    def leave_device(self) -> None:
        """Give that memory back; switching takes longer then."""
        self._patches.leave_device()

    def _wanted(self, uses: Iterable[LoraUse], specs: Sequence[LoraSpec]) -> dict[str, tuple[object, float]]:
        """By name, which version of each file is to act and how strongly; all of them are read."""
        strengths: dict[str, float] = {}
        for use in uses:
            strengths[use.name] = strengths.get(use.name, 0.0) + use.weight
        by_name = {spec.name: spec for spec in specs}
        wanted: dict[str, tuple[object, float]] = {}
        # In one order, whichever they were named in: sums depend on it in their last bit.
        for name, strength in sorted(strengths.items()):
            if strength == 0:
                continue
            if name not in by_name:
                raise _unusable(name, "its file was not found")
            wanted[name] = self._ensure_read(by_name[name]), strength
        return wanted

    def _act(self, wanted: Mapping[str, tuple[object, float]]) -> None:
        if wanted == self._acting:
            return
        self._acting = {}
        self._patches.become([(self._read[name][1], strength) for name, (_, strength) in wanted.items()])
        self._acting = dict(wanted)

    def _ensure_read(self, spec: LoraSpec) -> object:
        """Read the file unless that was done; what tells this version of it from others."""
        try:
            status = spec.path.stat()
        except OSError as error:
            raise _unusable(spec.name, f"its file cannot be read: {error.strerror}") from error
        version = (spec.path, status.st_mtime_ns, status.st_size)
        known, weights = self._read.pop(spec.name, (None, None))
        if weights is None or known != version:
            weights = self._fitting(spec)
        self._read[spec.name] = version, weights
        return version

    def _fitting(self, spec: LoraSpec) -> LoraWeights:
        """The file's layers that the model has."""
        try:
            stored = read_layers(self._pipeline, spec.path)
            layers = {place: layer for place, layer in stored.items() if self._fits(place, layer)}
            weights = LoraWeights(layers, pinned=self._device.type == "cuda")
        except (OSError, ValueError, RuntimeError, LookupError, AttributeError, TypeError, SafetensorError) as error:
            if isinstance(error, RuntimeError) and is_out_of_memory(error):
                raise
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise _unusable(spec.name, f"it does not fit the model ({reason})") from error
        if not layers:
            raise _unusable(spec.name, "none of its layers are the model's")
        if len(layers) < (of := _count_stored_layers(spec)):
            structlog.get_logger(__name__).warning("lora_used_in_part", lora=spec.name, layers=len(layers), of=of)
        return weights

    def _fits(self, place: Place, layer: Layer) -> bool:
        """Whether the model has that module. Raises `ValueError` where it has another shape there."""
        try:
            shape = self._patches.weight(place).shape
        except AttributeError:
            return False
        outputs, rank = layer.up.shape[:2]
        made = (outputs, *layer.down.shape[1:])
        # A 1 × 1 convolution is a linear layer by another name.
        if layer.up.numel() != outputs * rank or layer.down.shape[0] != rank or _bare(made) != _bare(shape):
            raise ValueError(f"{'.'.join(place)} is {list(shape)} and not {list(made)}")
        return True

    def _make_room(self, keep: Iterable[str]) -> None:
        idle = [name for name in self._read if name not in set(keep)]
        while idle and self.nbytes > self._kept_bytes:
            del self._read[idle.pop(0)]
        self._patches.forget(needed={place for _, weights in self._read.values() for place in weights.places})


def _bare(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(shape[:2]) if all(side == 1 for side in shape[2:]) else tuple(shape)


def _count_stored_layers(spec: LoraSpec) -> int:
    return sum(
        ".lora_A." in name or "lora_down." in name or "lora.down." in name for name in read_header(spec.path).shapes
    )


def _unusable(name: str, reason: str) -> ModelUnavailable:
    return ModelUnavailable(name=f"LoRA {name}", reason=reason)
