"""The bench for a GPU, dry: a small model on the CPU goes every way that does not need one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bot import bench_gpu
from bot.config import PROGRAM_FOLDER, Config, load_config
from generation.engine.settings import PainterSettings
from generation.errors import SettingRefused
from generation.painter.bench_gpu.cold_start import cold_start
from generation.painter.bench_gpu.limits import Limit, Work, count_work
from generation.painter.bench_gpu.random_model import MID, SDXL, SMALL, save_model
from generation.painter.compiling import keep_compiled_in


@pytest.fixture(scope="module")
def config() -> Config:
    config = load_config(PROGRAM_FOLDER / "config.toml")
    one_thread = config.generation.model_copy(update={"threads": 1})  # tests run side by side
    return config.model_copy(update={"generation": one_thread})


def test_a_dry_run_prints_one_object_with_every_bar(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    bench_gpu.run(config, json=True, dry_run=True, quick=True)

    figures = json.loads(capsys.readouterr().out)
    assert figures["device"] == "cpu"
    bars = {key: plain for key, (plain, _) in (bench_gpu.AT_LEAST | bench_gpu.AT_MOST).items()}
    missing = {"cold_start_seconds", "eager_steps_per_second"}  # left out of what is tried in seconds
    assert bars.keys() - missing <= figures.keys()
    for key in bench_gpu.AT_LEAST.keys() - missing:
        assert f"{key}_percent_of_limit" in figures
    # What a CPU cannot do is told as unknown, and the rest measured.
    unknown = {key for key, value in figures.items() if value is None}
    assert {"fp8_images_per_second_20", "fp8_distance_mean", "graphs_steps_per_second"} <= unknown
    for key in ("best_images_per_second_30", "draft_images_per_second", "lora_switch_ms", "shipped_picture_seconds"):
        assert figures[key] > 0
        assert figures.get(bars.get(key, ""), 1) > 0
    assert 0 < figures["eager_distance_mean"] < 5
    assert figures["eager_distance_mean"] <= figures["eager_distance_max"]


def test_a_real_run_is_refused_where_there_is_no_gpu(config: Config) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SettingRefused) as caught:
        bench_gpu.run(config, json=True, dry_run=False)
    assert "--dry-run" in str(caught.value.fields["reason"])


def test_every_bar_is_one_of_what_is_measured() -> None:
    """By the names in the module that measures, since a CPU cannot do all of it."""
    measuring = (PROGRAM_FOLDER / "generation/painter/bench_gpu/measuring.py").read_text(encoding="utf-8")
    for figure in (
        "compiled_steps_per_second",
        "best_images_per_second_",
        "fp8_images_per_second_",
        "cold_start_seconds",
    ):
        assert figure in measuring
    assert {"plain", "shipped", "eager", "fp8"} <= {"plain", *bench_gpu.FULL["variants"]}


@pytest.fixture(scope="module")
def work() -> Work:
    """Of a picture by SDXL."""
    return count_work(SDXL)


class TestLimit:
    def test_the_work_of_sdxl_is_what_its_configuration_says(self, work: Work) -> None:
        assert work.unet == pytest.approx(6.761e12, rel=1e-3)
        assert work.decoder == pytest.approx(10.47e12, rel=1e-3)
        assert work.texts == pytest.approx(0.11e12, rel=0.02)

    def test_what_it_comes_to_on_an_h200(self, work: Work) -> None:
        limit = Limit(work=work, rate=790e12, eight_bits=None)
        assert limit.picture_seconds(30) == pytest.approx(0.527, abs=0.001)
        assert limit.picture_seconds(20) == pytest.approx(0.356, abs=0.001)
        assert limit.picture_seconds(4, rows=1) == pytest.approx(0.048, abs=0.001)

    def test_eight_bits_hasten_linear_layers_alone(self) -> None:
        work = Work(unet=10.0, linear=6.0, decoder=1.0, texts=1.0)
        limit = Limit(work=work, rate=1.0, eight_bits=2.0)
        assert limit.step_seconds(rows=1) == 10
        assert limit.step_seconds(rows=1, fp8=True) == 7
        assert Limit(work=work, rate=1.0, eight_bits=None).step_seconds(rows=1, fp8=True) == 10

    def test_the_model_for_a_trial_is_much_smaller(self, work: Work) -> None:
        assert count_work(SMALL).unet < count_work(MID).unet < work.unet / 100


def test_a_cold_start_paints_in_a_process_of_its_own(tmp_path: Path) -> None:
    save_model(SMALL, tmp_path, device=torch.device("cpu"), dtype=torch.float32)
    seconds = cold_start(PainterSettings(device="cpu", threads=1), SMALL.spec(tmp_path, steps=2, max_batch=1), steps=2)
    assert seconds > 0


def test_a_figure_that_misses_its_bar_or_could_not_be_taken_is_told() -> None:
    well: dict[str, float | str | None] = {
        key: bar for key, (_, bar) in (bench_gpu.AT_LEAST | bench_gpu.AT_MOST).items()
    }
    assert bench_gpu.good_enough(well)
    assert not bench_gpu.good_enough(well | {"eager_steps_per_second": 14.9})
    assert not bench_gpu.good_enough(well | {"lora_switch_ms": 100.1})
    assert not bench_gpu.good_enough(well | {"fp8_images_per_second_20": None})


def test_a_folder_for_what_is_compiled_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingRefused) as refused:
        keep_compiled_in(str(tmp_path / "file" / "compiled"))
    assert refused.value.fields["setting"] == "compile_folder"
