"""What it takes to go from one LoRA to another that was read before."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence

import torch

from generation.catalogue import LoraSpec, ModelSpec
from generation.engine.settings import PainterSettings
from generation.painter.bench_gpu.contestants import plain_diffusers
from generation.painter.bench_gpu.limits import synchronize
from generation.painter.devices import choose_placement
from generation.painter.models import load_model
from generation.recipe import LoraUse

SWITCHES = 20


def own_switch_ms(settings: PainterSettings, model: ModelSpec, loras: Sequence[LoraSpec]) -> float:
    """Milliseconds until the device has done it: the painter, which changes the weights."""
    placement = choose_placement(settings)
    adapters = load_model(model, placement).adapters
    return _median_ms(lambda lora: adapters.switch((LoraUse(name=lora.name),), loras), loras, placement.device)


def plain_switch_ms(settings: PainterSettings, model: ModelSpec, loras: Sequence[LoraSpec]) -> float:
    """The same of diffusers' `set_adapters`, which keeps all of them in the modules."""
    plain = plain_diffusers(settings, model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's, that a model has several adapters: that is the point
        for lora in loras:
            plain.pipeline.load_lora_weights(str(lora.path.parent), weight_name=lora.path.name, adapter_name=lora.name)
        return _median_ms(lambda lora: plain.pipeline.set_adapters([lora.name]), loras, plain.device)


def _median_ms(switch: Callable[[LoraSpec], object], loras: Sequence[LoraSpec], device: torch.device) -> float:
    times = []
    for number in range(SWITCHES + len(loras)):
        synchronize(device)
        started = time.perf_counter()
        switch(loras[number % len(loras)])
        synchronize(device)
        times.append(time.perf_counter() - started)
    return statistics.median(times[len(loras) :]) * 1000  # the first ones read the files
