"""The bench of batching on a tiny model: its times say nothing, its pictures do."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from generation.catalogue import ModelSpec
from generation.engine.settings import PainterSettings
from generation.painter.bench_batching import ORDERS, measure
from tests.painter.lora_files import save_lora


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`")
def test_every_order_is_painted_as_plain_diffusers_paints_it(tiny: ModelSpec, tmp_path: Path) -> None:
    loras = [save_lora(tmp_path, name, seed=seed) for seed, name in enumerate(("lines", "words"), start=1)]
    model = dataclasses.replace(tiny, max_batch=8, num_inference_steps=2)
    figures = measure(model, PainterSettings(device="cpu"), loras, rounds=1, sizes=(1, 8))
    assert figures["max_mean_difference"] < 0.2
    assert sum(figures["batches"]) == sum(order.pictures for order in ORDERS)
    assert max(figures["batches"]) <= 8
    assert len(figures["batches"]) < len(ORDERS)
    assert set(figures["batch_seconds"]) == {1, 8}
    assert json.loads(json.dumps(figures))["ratio_mixed_orders"] > 0
