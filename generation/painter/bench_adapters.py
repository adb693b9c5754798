"""What a LoRA costs: to switch to it, and in each step; beside the two ways that diffusers has.

Plain diffusers keeps all LoRAs in the modules and says which of them act (peft's `set_adapters`), or has one place for
one LoRA, and copies another one's numbers into it (`hotswap=True`), which is meant for compiled modules.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from generation.catalogue import LoraSpec, ModelSpec
from generation.painter.bench_gpu.limits import synchronize
from generation.painter.devices import Placement
from generation.painter.lora_weights import read_layers
from generation.painter.models import load_model
from generation.recipe import LoraUse

SWITCHES_A_ROUND = 10
STEPS_A_ROUND = 3

Figures = dict[str, float | None]
ADAPTER_FIGURES = (
    "lora_switch_ms",
    "peft_lora_switch_ms",
    "hotswap_lora_switch_ms",
    "peft_lora_step_ratio",
    "hotswap_lora_step_ratio",
)


def measure_adapters(
    model: ModelSpec,
    placement: Placement,
    loras: Sequence[LoraSpec],
    *,
    plain: Callable[[], Any],
    rounds: int,
) -> Figures:
    """Milliseconds from one LoRA to another, both read before: `lora_switch_ms`, and with a prefix for the other ways.

    And how long a step takes by these ways over one with the LoRA in the weights: `peft_lora_step_ratio` and
    `hotswap_lora_step_ratio`. `plain` makes a pipeline of plain diffusers; None: that way does not take these LoRAs.
    """
    # With a single LoRA: from it to itself at another strength.
    pair = (loras[0], loras[1] if len(loras) > 1 else loras[0])
    loaded = load_model(model, placement)
    own, theirs, hot = loaded.text_to_image, plain(), plain()

    def switch(number: int) -> None:
        loaded.adapters.switch((LoraUse(name=pair[number].name, weight=1 - number / 2),), loras)

    def choose(number: int) -> None:
        theirs.set_adapters([f"lora_{number}"], adapter_weights=[1 - number / 2])

    def exchange(number: int) -> None:
        _load(hot, pair[number], "lora", hotswap=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's, that a model has several adapters: that is the point
        for number, lora in enumerate(pair):
            _load(theirs, lora, f"lora_{number}")
        # Its place has to be made for the highest rank of all that will come.
        ranks = [layer.down.shape[0] for lora in pair for layer in read_layers(own, lora.path).values()]
        hot.enable_lora_hotswap(target_rank=max(ranks))
        try:
            _load(hot, pair[0], "lora")
            exchange(1)
        except ValueError:  # a LoRA of the text encoders
            hot = None
        ways: dict[str, tuple[Any, Callable[[int], None]]] = {"": (own, switch), "peft_": (theirs, choose)}
        if hot is not None:
            ways["hotswap_"] = (hot, exchange)
        figures: Figures = {}
        for way, (_, change) in ways.items():
            both = [partial(change, number) for number in (0, 1)]
            times = _times(both, rounds * SWITCHES_A_ROUND, placement.device)
            figures[f"{way}lora_switch_ms"] = 1000 * statistics.median(times)
        steps = {way: _step(pipeline, model, placement) for way, (pipeline, _) in ways.items()}
        seconds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):  # in turns: a noisy machine disturbs all alike
            for way, step in steps.items():
                seconds[way].append(min(_times([step], STEPS_A_ROUND, placement.device)))
    for way in ("peft_", "hotswap_"):
        figures.setdefault(f"{way}lora_switch_ms", None)
        ratios = [theirs / ours for theirs, ours in zip(seconds.get(way, ()), seconds[""], strict=False)]
        figures[f"{way}lora_step_ratio"] = statistics.median(ratios) if ratios else None
    return figures


def _load(pipeline: Any, lora: LoraSpec, adapter: str, **options: Any) -> None:
    pipeline.load_lora_weights(str(lora.path.parent), weight_name=lora.path.name, adapter_name=adapter, **options)


def _step(pipeline: Any, model: ModelSpec, placement: Placement) -> Callable[[], object]:
    """A guided step of one picture, without what stands around the UNet."""
    side = model.native_size // 8
    config = pipeline.unet.config
    like: dict[str, Any] = {"device": placement.device, "dtype": placement.dtype}
    pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    conditions = {"text_embeds": torch.zeros(2, pooled, **like), "time_ids": torch.ones(2, 6, **like)}
    latents = torch.zeros(2, 4, side, side, **like)
    words = torch.zeros(2, 77, config.cross_attention_dim, **like)

    @torch.inference_mode()
    def step() -> object:
        return pipeline.unet(latents, 500, words, added_cond_kwargs=conditions)

    step()
    return step


def _times(works: Sequence[Callable[[], object]], times: int, device: torch.device) -> list[float]:
    """The seconds that each takes until the device has done it, by turns."""
    seconds = []
    for number in range(times * len(works)):
        synchronize(device)
        started = time.perf_counter()
        works[number % len(works)]()
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return seconds
