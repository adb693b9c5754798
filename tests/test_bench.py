"""The bench measures what it says, on the embedded model. How fast this machine is, is not asked here."""

from __future__ import annotations

import json
import time

import pytest

from bot import bench
from bot.config import PROGRAM_FOLDER, load_config
from bot.logs import configure_logs

PROMISED = {
    "ready_seconds",
    "bot_rss_mb",
    "ack_p50_ms",
    "ack_p99_ms",
    "enqueue_per_second",
    "overhead_share",
    "overhead_ms_per_job",
    "painter_ratio_single",
    "painter_ratio_batch",
    "lora_switch_ms",
    "peft_lora_switch_ms",
    "hotswap_lora_switch_ms",
    "peft_lora_step_ratio",
    "hotswap_lora_step_ratio",
}


def test_the_bench_prints_one_object_of_plausible_figures(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(level="error", format="console")
    config = load_config(PROGRAM_FOLDER / "config.toml")
    one_thread = config.generation.model_copy(update={"threads": 1})  # tests run side by side

    started = time.perf_counter()
    bench.run(config.model_copy(update={"generation": one_thread}), json=True, quick=True)
    passed = time.perf_counter() - started

    figures = json.loads(capsys.readouterr().out)
    assert figures.keys() >= PROMISED
    assert all(type(value) in (int, float) for value in figures.values())
    assert all(value > 0 for key, value in figures.items() if key != "ack_deferred_share")
    assert figures["ready_cpu_seconds"] <= figures["ready_seconds"]
    assert figures["ready_seconds"] + figures["first_ready_seconds"] < passed
    assert 20 < figures["bot_rss_mb"] < 1000
    assert figures["ack_p50_ms"] <= figures["ack_p99_ms"] <= figures["ack_max_ms"]
    assert 0 <= figures["ack_deferred_share"] <= 1
    assert 0 < figures["overhead_share"] < 1
