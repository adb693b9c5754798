"""The bench for a GPU, dry: a small model on the CPU goes every way that does not need one."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image

from bot import bench_gpu
from bot.config import PROGRAM_FOLDER, Config, load_config
from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Picture, Progress
from generation.engine.settings import PainterSettings
from generation.errors import SettingRefused
from generation.painter.bench_gpu.cold_start import cold_start
from generation.painter.bench_gpu.limits import Limit, Work, count_work
from generation.painter.bench_gpu.random_model import MID, SDXL, SMALL, save_model
from generation.painter.bench_gpu.recipes import batch, square
from generation.painter.bench_gpu.rows import paint_row, time_rows
from generation.painter.compiling import keep_compiled_in


@pytest.fixture(scope="module")
def config() -> Config:
    config = load_config(PROGRAM_FOLDER / "config.toml")
    one_thread = config.generation.model_copy(update={"threads": 1})  # tests run side by side
    return config.model_copy(update={"generation": one_thread})


def test_a_dry_run_prints_one_object_with_every_bar(config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert bench_gpu.run(config, json=True, dry_run=True, quick=True)

    figures = json.loads(capsys.readouterr().out)
    assert figures["device"] == "cpu"
    bars = {key: plain for key, (plain, _) in (bench_gpu.AT_LEAST | bench_gpu.AT_MOST).items()}
    missing = {"graphs_cold_start_seconds", "eager_steps_per_second"}  # left out of what is tried in seconds
    assert bars.keys() - missing <= figures.keys()
    for key in bench_gpu.AT_LEAST.keys() - missing:
        assert f"{key}_percent_of_limit" in figures
    # What a CPU cannot do is told as unknown, and all the rest measured.
    unknown = {key for key, value in figures.items() if value is None}
    assert all("fp8" in key or key.startswith(("graphs", "compiled", "attention")) for key in unknown)
    assert {"fp8_images_per_second_20", "fp8_distance_mean", "graphs_steps_per_second"} <= unknown
    assert figures["broken_parts"] == 0
    for key in ("best_images_per_second_30", "draft_images_per_second", "lora_switch_ms", "shipped_picture_seconds"):
        assert figures[key] > 0
        assert figures.get(bars.get(key, ""), 1) > 0
    assert figures["eager_overlap_ratio"] > 0
    assert figures["eager_overlap_distance_max"] == 0
    # A LoRA that does nothing is the same in both ways; one that acts is not, and what it does is more than rounding.
    assert figures["lora_0_rounding_max"] == figures["lora_0_effect_max"] == 0 < figures["lora_0_bfloat16_max"]
    assert 0 < figures["lora_100_rounding_mean"] < figures["lora_100_effect_mean"]
    assert 0 < figures["lora_100_bfloat16_mean"] < figures["lora_100_effect_mean"]
    assert 0 < figures["eager_distance_mean"] < 5
    assert figures["eager_distance_mean"] <= figures["eager_distance_max"]


def test_a_real_run_is_refused_where_there_is_no_gpu(config: Config) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SettingRefused) as caught:
        bench_gpu.run(config, json=True, dry_run=False)
    assert "--dry-run" in str(caught.value.fields["reason"])


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


class TestRow:
    """With a painter that leaves the end of each batch to others, and says what it is doing."""

    def test_one_batch_is_finished_beside_the_next_and_no_more_than_one(self) -> None:
        painter = _Noting(last=3)
        row = paint_row(painter, [_grey(seed) for seed in range(4)], overlapping=True)
        assert [image.getpixel((0, 0)) for image in row.images] == [(seed,) * 3 for seed in range(4)]
        for seed in range(3):
            begun, ended = painter.notes.index(f"begun {seed + 1}"), painter.notes.index(f"finished {seed}")
            assert begun < ended
            assert seed == 2 or ended < painter.notes.index(f"begun {seed + 2}")

    def test_in_turn_each_is_finished_before_the_next_is_begun(self) -> None:
        painter = _Noting(last=2)
        paint_row(painter, [_grey(seed) for seed in range(3)], overlapping=False)
        assert painter.notes == [f"{what} {seed}" for seed in range(3) for what in ("begun", "finished")]

    def test_pictures_that_differ_are_told(self) -> None:
        same = time_rows(_Noting(last=3), [_grey(1), _grey(2), _grey(3)], rounds=1)
        assert same.most_apart == 0
        assert same.ratio == pytest.approx(same.images_per_second / same.in_turn)
        assert time_rows(_Noting(last=3, moved_by=3), [_grey(1), _grey(2), _grey(3)], rounds=2).most_apart == 3


def _grey(seed: int) -> Batch:
    model = SMALL.spec("nowhere", steps=2, max_batch=1)
    return batch(model, [square(model, "grey", steps=2, seed=seed)])


class _Noting:
    """Paints what a recipe's seed says, in plain grey. What it leaves for later ends when the next batch is begun."""

    device = "cpu"

    def __init__(self, *, last: int, moved_by: int = 0) -> None:
        """`last` is the seed of the last batch; `moved_by` brightens what is finished later."""
        self.notes: list[str] = []
        self._last = last
        self._moved_by = moved_by
        self._begun = [threading.Event() for _ in range(10)]

    def load(self, model: ModelSpec) -> None:
        """It has none."""

    def paint(self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]) -> Painted:
        seed = batch.tasks[0].recipe.seed
        self.notes.append(f"begun {seed}")
        return self._finished(seed, grey=seed)

    def begin(
        self, batch: Batch, *, on_progress: Callable[[Progress], None], cancelled: Callable[[], bool]
    ) -> Callable[[], Painted]:
        seed = batch.tasks[0].recipe.seed
        self.notes.append(f"begun {seed}")
        self._begun[seed].set()

        def finish() -> Painted:
            if seed < self._last:
                assert self._begun[seed + 1].wait(120)
            return self._finished(seed, grey=seed + self._moved_by)

        return finish

    def _finished(self, seed: int, *, grey: int) -> Painted:
        self.notes.append(f"finished {seed}")
        file = BytesIO()
        Image.new("RGB", (8, 8), (grey,) * 3).save(file, "PNG")
        return Painted(pictures=(Picture(png=file.getvalue(), width=8, height=8),), seconds=0.0)


def test_a_cold_start_paints_in_a_process_of_its_own(tmp_path: Path) -> None:
    save_model(SMALL, tmp_path, device=torch.device("cpu"), dtype=torch.float32)
    seconds = cold_start(PainterSettings(device="cpu", threads=1), SMALL.spec(tmp_path, steps=2, max_batch=1), steps=2)
    assert seconds > 0


def test_a_folder_for_what_is_compiled_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingRefused) as refused:
        keep_compiled_in(str(tmp_path / "file" / "compiled"))
    assert refused.value.fields["setting"] == "compile_folder"
