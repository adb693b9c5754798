"""LoRAs as a part of the weights: added in place, and taken out again without a trace.

The modules stay what they are, only numbers change. So nothing that was compiled or captured for them has to be made
anew, a step costs the same with LoRAs as without, and what is added to the text encoders takes the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from generation.painter.lora_weights import LoraWeights, Place
from generation.painter.precision import set_numbers, unrounded


class WeightPatches:
    """Which LoRAs are in a pipeline's weights, and what these were before.

    The originals of all weights that were ever changed are kept, and put back by copying: added numbers cannot be
    subtracted again without error. They stay on the device while half of its memory is free beside them, since
    putting back several GB from the main memory takes a tenth of a second.
    """

    def __init__(self, pipeline: Any, device: torch.device) -> None:
        """`device` is where sums are formed, wherever the weights wait between two pictures."""
        self._pipeline = pipeline
        self._device = device
        self._modules: dict[Place, Any] = {}  # looking them up by name takes longer than changing them
        self._originals: dict[Place, Tensor] = {}
        self._patched: set[Place] = set()

    @property
    def patched(self) -> frozenset[Place]:
        """The modules whose weights are not their own now."""
        return frozenset(self._patched)

    @property
    def kept(self) -> frozenset[Place]:
        """The modules whose own weights are kept beside."""
        return frozenset(self._originals)

    @torch.no_grad()
    def become(self, loras: Sequence[tuple[LoraWeights, float]]) -> None:
        """Let the weights be the model's own and these LoRAs, each times its strength. If it fails, their own alone."""
        try:
            layers = [(lora.on(self._device), strength) for lora, strength in loras]
            touched = {place for lora, _ in layers for place in lora}
            self._put_back(self._patched - touched)
            for place in touched:
                weight = self.weight(place)
                # In float32, and rounded once: a sum of several is as exact as one.
                own = self._original(place, weight).to(self._device, torch.float32)
                self._patched.add(place)
                at_once = type(weight) is Tensor and (weight.device, weight.dtype) == (own.device, own.dtype)
                changed = weight.copy_(own) if at_once else own.clone()
                for lora, strength in layers:
                    if place in lora:
                        lora[place].added_to(changed, own, strength)
                if not at_once:
                    set_numbers(weight, changed)
        except BaseException:
            self._put_back(self._patched)
            raise

    @torch.no_grad()
    def forget(self, needed: Iterable[Place]) -> None:
        """Keep no originals but those of these modules and of the changed ones."""
        for place in self._originals.keys() - set(needed) - self._patched:
            del self._originals[place]

    @property
    def on_device(self) -> bool:
        """Whether originals take memory of a device that is not the main memory."""
        return any(original.device.type != "cpu" for original in self._originals.values())

    @torch.no_grad()
    def leave_device(self) -> None:
        """Keep the originals in main memory: the device needs its own for pictures."""
        for place, original in self._originals.items():
            if original.device.type != "cpu":
                self._originals[place] = _in_main_memory(original)

    def weight(self, place: Place) -> Tensor:
        """A module's weight where it really is. Raises `AttributeError` where the pipeline has no such module."""
        module = self._module(place)
        weight: Tensor = module.weight
        if weight.is_meta:
            # Accelerate's hooks keep it in main memory, and bring a copy while the module is at work.
            weight = _stored_by_hook(module)
        return weight.data

    def _module(self, place: Place) -> Any:
        if place not in self._modules:
            part, name = place
            self._modules[place] = getattr(self._pipeline, part).get_submodule(name)
        return self._modules[place]

    def _put_back(self, places: Iterable[Place]) -> None:
        for place in list(places):
            set_numbers(self.weight(place), self._originals[place])
            self._patched.discard(place)

    def _original(self, place: Place, weight: Tensor) -> Tensor:
        if place not in self._originals:
            kept = unrounded(self._module(place), weight)
            if kept is not weight:  # of eight bits: what it was rounded from is in main memory anyway
                self._originals[place] = kept
            elif weight.device.type == "cuda" and not _half_is_free(weight.device, beside=weight.nbytes):
                self._originals[place] = _in_main_memory(weight)
            else:
                self._originals[place] = weight.clone()
        return self._originals[place]


def _in_main_memory(weight: Tensor) -> Tensor:
    """A copy from which a CUDA device reads fastest."""
    return torch.empty_like(weight, device="cpu", pin_memory=weight.is_cuda).copy_(weight)


def _stored_by_hook(module: Any) -> Tensor:
    hooks = getattr(module._hf_hook, "hooks", (module._hf_hook,))
    stored: Mapping[str, Tensor] = next(hook.weights_map for hook in hooks if getattr(hook, "weights_map", None))
    return stored["weight"]


def _half_is_free(device: torch.device, *, beside: int) -> bool:
    """Whether half of a CUDA device's memory stays free, counting what torch holds in reserve as free."""
    free, total = torch.cuda.mem_get_info(device)
    reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + reserve - beside >= total / 2
