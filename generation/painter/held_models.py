"""Which models a painter holds: the one at work, and within a budget of memory those that were last.

A model that has to leave the device waits in main memory, if that is allowed for, and comes back from there in a
fraction of the time that reading its files takes. The least recently used go first.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog
import torch
from torch import Tensor, nn

from generation.catalogue import ModelSpec
from generation.engine.settings import PainterSettings
from generation.painter.adapters import KEPT_BYTES
from generation.painter.devices import Placement, free_memory
from generation.painter.models import LoadedModel, load_model
from generation.painter.refiner import LoadedRefiner, load_refiner

GIGABYTE = 10**9


@dataclass(slots=True, kw_only=True)
class _Held:
    """A model with its refiner. `waiting` are its weights in main memory, by module and name, where they were put."""

    model: LoadedModel
    refiner: LoadedRefiner | None = None
    on_device: bool = True
    waiting: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """What its weights take."""
        return sum(tensor.nbytes for tensor in _tensors(self))


class HeldModels:
    """The models of one painter. Not thread-safe, unless it says so."""

    def __init__(
        self, settings: PainterSettings, placement: Placement, *, before_leaving: Callable[[], None] = lambda: None
    ) -> None:
        """`settings` say how many gigabytes models may fill on the device and in main memory.

        Where the weights lie in main memory anyway, on the CPU or to save memory of the device, the second alone
        counts. `before_leaving` is called before weights leave their place: nobody may be working with them then.
        """
        self._placement = placement
        self._before_leaving = before_leaving
        apart = has_memory_of_its_own(placement.device) and placement.vram == "full"
        on_device, in_memory = settings.models_on_device_gigabytes, settings.models_in_memory_gigabytes
        self._device_bytes = round((on_device if apart else in_memory) * GIGABYTE)
        # A graph that CUDA replays knows where the weights lie.
        movable = apart and settings.compile != "graphs"
        self._waiting_bytes = round(in_memory * GIGABYTE) if movable else 0
        self._held: dict[str, _Held] = {}  # by name, least recently used first
        self._log = structlog.get_logger(__name__)

    @property
    def names(self) -> tuple[str, ...]:
        """The models that need not be read again, the least recently used first."""
        return tuple(self._held)

    @property
    def current(self) -> LoadedModel | None:
        """The one that was used last."""
        return next(reversed(self._held.values())).model if self._held else None

    @property
    def current_refiner(self) -> LoadedRefiner | None:
        """Its refiner, if that was asked for."""
        return next(reversed(self._held.values())).refiner if self._held else None

    def holds(self, spec: ModelSpec) -> bool:
        """Whether that model need not be read again. In any thread; it may be another moment's answer there."""
        held = self._held.get(spec.name)
        return held is not None and held.model.spec == spec

    def model(self, spec: ModelSpec) -> LoadedModel:
        """That model on its device: held, brought back, or loaded. Raises as `load_model`."""
        self._take_out_loras(but=spec.name)
        held = self._held.pop(spec.name, None)
        if held is not None and held.model.spec != spec:
            self._before_leaving()
            held = None  # another one by that name since
            self._free()
        try:
            if held is None:
                self._make_room(self._likely_bytes())
                held = _Held(model=load_model(spec, self._placement))
            elif not held.on_device:
                self._make_room(held.nbytes)
                self._bring_back(held)
        finally:
            if held is not None and held.on_device:
                self._held[spec.name] = held
        self._make_room(0)
        return held.model

    def refiner(self, spec: ModelSpec) -> LoadedRefiner:
        """The refiner of the model that was asked for last. Raises as `load_refiner`."""
        held = self._held[spec.name]
        if held.refiner is None:
            held.refiner = load_refiner(spec, self._placement)
            held.waiting = []  # there it is not, if the model has left before
            self._make_room(0)
        return held.refiner

    def could_give_way(self) -> bool:
        """Whether `give_way` would do anything."""
        current = self.current
        return bool(self._others()) or (current is not None and current.adapters.on_device)

    def give_way(self) -> None:
        """Take from the device what the model at work does not need for its pictures: they lack memory."""
        for held in self._others():
            self._let_go(held)
        if self.current is not None:
            self.current.adapters.leave_device()

    def _take_out_loras(self, *, but: str) -> None:
        """Of all but that model, so that what they keep beside their weights is bounded, however many are held."""
        left = KEPT_BYTES
        for name, held in reversed(self._held.items()):
            if name != but:
                held.model.adapters.take_out(kept_bytes=left)
                left -= held.model.adapters.nbytes

    def _others(self) -> list[_Held]:
        return [held for held in list(self._held.values())[:-1] if held.on_device]

    def _likely_bytes(self) -> int:
        """What a model takes that is not loaded yet: as much as the largest that is; they are of one family."""
        return max((held.nbytes for held in self._held.values()), default=0)

    def _make_room(self, needed: int) -> None:
        """Let models leave until the device's budget holds those that are there and `needed` bytes more.

        With nothing needed the latest one stays, whatever the budget.
        """
        staying = 0 if needed or not self._held else 1
        on_device = [held for held in self._held.values() if held.on_device]
        left = False
        while len(on_device) > staying and sum(held.nbytes for held in on_device) + needed > self._device_bytes:
            self._let_go(on_device.pop(0))
            left = True
        if left:
            self._free()

    def _let_go(self, held: _Held) -> None:
        """From the device into main memory, or out of both."""
        name = held.model.spec.name
        self._before_leaving()
        if held.nbytes > self._waiting_bytes or not all(_is_plain(tensor) for tensor in _tensors(held)):
            del self._held[name]
            self._log.info("model_dropped", model=name)
            return
        held.model.adapters.take_out()
        if not held.waiting:
            held.waiting = [(tensor, _in_main_memory(tensor)) for tensor in _tensors(held)]
        for tensor, copy in held.waiting:
            tensor.data = copy
        held.on_device = False
        self._log.info("model_set_aside", model=name)
        in_memory = [each for each in self._held.values() if each.waiting]
        while sum(each.nbytes for each in in_memory) > self._waiting_bytes:
            oldest = in_memory.pop(0)
            oldest.waiting = []
            if not oldest.on_device:
                del self._held[oldest.model.spec.name]

    def _bring_back(self, held: _Held) -> None:
        # What waits stays there: weights do not change but by LoRAs, and those are taken out before.
        for tensor, copy in held.waiting:
            tensor.data = copy.to(self._placement.device, non_blocking=True)
        held.on_device = True

    def _free(self) -> None:
        gc.collect()
        free_memory(self._placement.device)


def has_memory_of_its_own(device: torch.device) -> bool:
    """Whether the device's memory is another than the main memory. Apple's chips have one for both."""
    return device.type == "cuda"


def _modules(held: _Held) -> Iterator[nn.Module]:
    pipelines: list[Any] = [held.model.text_to_image]
    if held.refiner is not None:
        pipelines.append(held.refiner.pipeline)
    for pipeline in pipelines:
        yield from (part for part in pipeline.components.values() if isinstance(part, nn.Module))


def _tensors(held: _Held) -> Iterator[Tensor]:
    for module in _modules(held):
        yield from module.parameters()
        yield from module.buffers()


def _is_plain(tensor: Tensor) -> bool:
    return type(tensor.data) is Tensor


def _in_main_memory(tensor: Tensor) -> Tensor:
    """A copy that is laid out alike, where a CUDA device reads it fastest."""
    return torch.empty_like(tensor, device="cpu", pin_memory=tensor.is_cuda).copy_(tensor)
