"""What the bench for a GPU judges: contestants of known speed go through all of it, and each bar can be missed."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from bot import bench_gpu, cli_bench
from bot.config import PROGRAM_FOLDER, Config, load_config
from generation.catalogue import ModelSpec
from generation.engine.settings import PainterSettings
from generation.painter.bench_gpu import measuring, notes
from generation.painter.bench_gpu.contestants import VARIANTS, Single, variant
from generation.painter.bench_gpu.limits import Limit, count_work
from generation.painter.bench_gpu.plan import Plan
from generation.painter.bench_gpu.random_model import SDXL
from generation.painter.bench_gpu.rows import Overlapped
from generation.painter.devices import Placement
from generation.recipe import Recipe

BARS = bench_gpu.AT_LEAST | bench_gpu.AT_MOST
RATE = 790e12  # of an H200 in bfloat16
STEPS_A_SECOND = {
    "plain": 12.0,
    "shipped": 14.0,
    "eager": 16.0,
    "blocks": 19.0,
    "unet": 21.0,
    "graphs": 23.0,
    "fp8": 27.0,
}
# By who paints, steps, and rows of a step: the best batch's, at 8 pictures.
IMAGES_A_SECOND = {
    ("plain", 30, 2): 0.5,
    ("plain", 20, 2): 0.7,
    ("plain", 4, 1): 3.0,
    ("unet", 30, 2): 1.2,
    ("unet", 20, 2): 1.8,
    ("unet", 4, 1): 9.0,
    ("fp8", 20, 2): 2.5,
}
COLD_SECONDS = {"graphs": 40.0, "unet": 30.0}
ROWS = {
    "unet": Overlapped(images_per_second=2.0, in_turn=1.8, ratio=1.1, most_apart=0.0),
    "graphs": Overlapped(images_per_second=1.9, in_turn=1.8, ratio=1.05, most_apart=1.0),
}
GREY = {"shipped": 100, "eager": 101, "unet": 103, "fp8": 107, "guided_half": 120}


class Standing:
    """One who paints plain grey, and is known by name."""

    device = torch.device("cpu")

    def __init__(self, name: str) -> None:
        self.name = name

    def paint(self, recipes: Sequence[Recipe], on_step: Callable[[], None]) -> list[Image.Image]:
        return [Image.new("RGB", (8, 8), (GREY[self.name],) * 3) for _ in recipes]


def name_of(settings: PainterSettings) -> str:
    """Which variant these are."""
    bare = dataclasses.replace(
        settings, channels_last=False, vae_dtype="auto", compile="off", fp8=False, attention="auto", guided_share=1.0
    )
    return next(name for name in VARIANTS if variant(bare, name, "cudnn") == settings)


class Track:
    """How fast each is, and who fails."""

    def __init__(self) -> None:
        self.steps = dict(STEPS_A_SECOND)
        self.images = dict(IMAGES_A_SECOND)
        self.failing: set[str] = set()

    def single(self, contestant: Standing, recipe: Recipe, *, rounds: int) -> Single:
        if contestant.name in self.failing:
            raise RuntimeError(f"{contestant.name} stumbled")
        rate = self.steps[contestant.name]
        return Single(steps_per_second=rate, seconds=30 / rate + 1, first_seconds=100.0)

    def batch(self, contestant: Standing, recipes: Sequence[Recipe], *, rounds: int) -> float:
        rows = 2 if recipes[0].guidance_scale > 1 else 1
        best = self.images[contestant.name, recipes[0].num_inference_steps, rows]
        return best if len(recipes) == 8 else 0.9 * best

    def cold_start(self, settings: PainterSettings, model: ModelSpec, *, steps: int, plain: bool = False) -> float:
        """The second time, with what is in the folder, in a third of the time."""
        if plain:
            return 20.0
        compiled = Path(settings.compile_folder)
        before = compiled.exists()
        compiled.mkdir(exist_ok=True)
        return COLD_SECONDS[name_of(settings)] * (1 if before else 3)


@pytest.fixture(scope="module")
def limit() -> Limit:
    """Of SDXL on an H200."""
    return Limit(work=count_work(SDXL), rate=RATE, eight_bits=2 * RATE)


@pytest.fixture
def track(monkeypatch: pytest.MonkeyPatch, limit: Limit) -> Track:
    """A device of known rates, on which `Track` says how fast each is."""
    track = Track()
    stands: dict[str, Any] = {
        "choose_placement": lambda settings: Placement(device=torch.device("cpu"), dtype=torch.bfloat16, vram="full"),
        "count_work": lambda size: limit.work,
        "matrix_rate": lambda device, dtype: limit.rate,
        "eight_bit_rate": lambda device: limit.eight_bits,
        "time_attention": lambda size, device, dtype: {"flash": 0.9, "cudnn": 0.7, "efficient": None, "math": 9.0},
        "save_model": lambda size, folder, *, device, dtype: None,
        "save_lora": lambda size, folder, name, *, seed: None,
        "OurPainter": lambda settings, model: Standing(name_of(settings)),
        "plain_diffusers": lambda settings, model: Standing("plain"),
        "time_single": track.single,
        "time_batch": track.batch,
        "time_overlap": lambda settings, model, *, steps, rounds: ROWS[name_of(settings)],
        "measure_rounding": lambda model, settings, loras, recipes, *, weight: {"rounding_mean": weight},
        "own_switch_ms": lambda settings, model, loras: 60.0,
        "plain_switch_ms": lambda settings, model, loras: 500.0,
        "cold_start": track.cold_start,
    }
    for name, stand in stands.items():
        monkeypatch.setattr(measuring, name, stand)
    monkeypatch.setattr(notes, "forget_models", lambda device: None)  # nobody made one
    return track


def measured() -> dict[str, Any]:
    """All of the full bench, as JSON brings it."""
    full = {**bench_gpu.FULL, "needs_gpu": False}
    plan = {"painter": dataclasses.asdict(PainterSettings()), "pocket": str(bench_gpu.POCKET), **full}
    figures: dict[str, Any] = json.loads(json.dumps(measuring.measure(Plan.read(json.dumps(plan)))))
    return figures


def test_every_bar_is_a_figure_of_the_full_bench_with_what_stands_beside_it(track: Track) -> None:
    figures = measured()
    for key, (plain, _) in BARS.items():
        assert isinstance(figures[key], float), key
        assert isinstance(figures[plain], float), plain
    for key in bench_gpu.AT_LEAST:
        assert 0 < figures[f"{key}_percent_of_limit"] < 100
    assert bench_gpu.good_enough(figures)
    assert figures["broken_parts"] == 0


def test_each_figure_is_that_of_whom_it_names(track: Track, limit: Limit) -> None:
    figures = measured()
    assert {name: figures[f"{name}_steps_per_second"] for name in STEPS_A_SECOND} == STEPS_A_SECOND
    assert figures["attention"] == "cudnn"
    assert figures["compiled_steps_per_second"] == STEPS_A_SECOND["graphs"]
    assert figures["best_batch"] == 8
    assert figures["batch_16_images_per_second_30"] == pytest.approx(0.9 * 1.2)
    for key, of in {
        "best_images_per_second_30": ("unet", 30, 2),
        "best_images_per_second_20": ("unet", 20, 2),
        "fp8_images_per_second_20": ("fp8", 20, 2),
        "draft_images_per_second": ("unet", 4, 1),
        "plain_images_per_second_30": ("plain", 30, 2),
        "plain_images_per_second_20": ("plain", 20, 2),
        "plain_draft_images_per_second": ("plain", 4, 1),
    }.items():
        assert figures[key] == IMAGES_A_SECOND[of], key
    assert (figures["lora_switch_ms"], figures["plain_lora_switch_ms"]) == (60, 500)
    for name, row in ROWS.items():
        assert figures[f"{name}_overlapped_images_per_second"] == row.images_per_second
        assert figures[f"{name}_in_turn_images_per_second"] == row.in_turn
        assert figures[f"{name}_overlap_ratio"] == row.ratio
        assert figures[f"{name}_overlap_distance_max"] == row.most_apart
    for name, seconds in COLD_SECONDS.items():
        assert figures[f"{name}_cold_start_seconds"] == seconds
        assert figures[f"{name}_cold_start_uncached_seconds"] == 3 * seconds
    assert figures["plain_cold_start_seconds"] == 20
    # fp8 from what else is the same; the others from what is shipped.
    distances = {name: figures[f"{name}_distance_mean"] for name in ("eager", "unet", "fp8", "guided_half")}
    assert distances == {"eager": 1, "unet": 3, "fp8": 4, "guided_half": 20}
    assert {key: value for key, value in figures.items() if key.endswith("rounding_mean")} == {
        "lora_0_rounding_mean": 0,
        "lora_5_rounding_mean": 0.05,
        "lora_35_rounding_mean": 0.35,
        "lora_70_rounding_mean": 0.7,
        "lora_100_rounding_mean": 1,
    }

    # What there is of the limit, by hand: two rows a guided step.
    step = 2 * limit.work.unet / RATE
    assert figures["limit_steps_per_second"] == pytest.approx(1 / step)
    assert figures["eager_steps_per_second_percent_of_limit"] == pytest.approx(100 * 16 * step)
    rest = (limit.work.decoder + limit.work.texts) / RATE
    assert figures["best_images_per_second_30_percent_of_limit"] == pytest.approx(100 * 1.2 * (30 * step + rest))
    assert figures["draft_images_per_second_percent_of_limit"] == pytest.approx(100 * 9 * (2 * step + rest))


def test_what_breaks_costs_its_own_figures_alone_and_is_told(track: Track, capsys: pytest.CaptureFixture[str]) -> None:
    track.failing = {"graphs"}
    figures = measured()
    assert figures["broken_parts"] == 1
    assert "graphs stumbled" in capsys.readouterr().err
    assert figures["graphs_steps_per_second"] is None
    assert figures["compiled_steps_per_second"] == STEPS_A_SECOND["unet"]  # the best of those that ran
    assert figures["best_images_per_second_30"] == IMAGES_A_SECOND["unet", 30, 2]


def reaching() -> dict[str, float | str | None]:
    """Figures that are just what they shall be."""
    return {"broken_parts": 0.0} | {key: bar for key, (_, bar) in BARS.items()}


def missing(key: str, value: object) -> dict[str, Any]:
    return {**reaching(), key: value}


@pytest.mark.parametrize("key", BARS)
def test_each_bar_can_be_missed_in_its_direction_alone(key: str) -> None:
    """Which direction that is, its name says: times are to be short, and rates high."""
    bar = BARS[key][1]
    lower, higher = bench_gpu.good_enough(missing(key, 0.99 * bar)), bench_gpu.good_enough(missing(key, 1.01 * bar))
    if key.endswith(("_ms", "_seconds")):
        assert (lower, higher) == (True, False)
    else:
        assert "_per_second" in key
        assert (lower, higher) == (False, True)
    assert bench_gpu.good_enough(reaching())
    for value in (math.nan, math.inf, -math.inf, None, "fast"):
        assert not bench_gpu.good_enough(missing(key, value))
    without = reaching()
    del without[key]
    assert not bench_gpu.good_enough(without)


@pytest.fixture
def config() -> Config:
    return load_config(PROGRAM_FOLDER / "config.toml")


@pytest.mark.parametrize(
    ("arguments", "figures", "status"),
    [
        ([], reaching(), 0),
        *(([], missing(key, None), 1) for key in BARS),
        ([], missing("draft_images_per_second", 7.9), 1),
        ([], missing("graphs_cold_start_seconds", math.nan), 1),
        ([], missing("broken_parts", 1.0), 1),
        (["--dry-run"], missing("draft_images_per_second", 0.1), 0),
        (["--dry-run"], missing("broken_parts", 1.0), 1),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_exit_status_says_whether_all_bars_are_reached(
    monkeypatch: pytest.MonkeyPatch,
    config: Config,
    arguments: list[str],
    figures: dict[str, Any],
    status: int,
    form: list[str],
) -> None:
    monkeypatch.setattr(cli_bench, "quietly", lambda path: config)
    monkeypatch.setattr(bench_gpu, "measure", lambda painter, extent: figures)
    assert CliRunner().invoke(cli_bench.benches, ["gpu", *arguments, *form]).exit_code == status


@pytest.fixture
def page() -> str:
    return (PROGRAM_FOLDER / "docs" / "performance.md").read_text(encoding="utf-8")


class TestDocumentation:
    """docs/performance.md says what the code says."""

    def test_of_the_bars(self, page: str) -> None:
        rows = re.findall(r"^\| `(\w+)`: .* \| (≥|≤) ([\d.]+)(?: ms| s)? \|", page, re.MULTILINE)
        assert {key: (sign, float(bar)) for key, sign, bar in rows} == {
            **{key: ("≥", bar) for key, (_, bar) in bench_gpu.AT_LEAST.items()},
            **{key: ("≤", bar) for key, (_, bar) in bench_gpu.AT_MOST.items()},
        }

    def test_of_the_limit(self, page: str, limit: Limit) -> None:
        assert f"{1 / limit.step_seconds():.1f} guided steps a second" in page
        for steps, rows in ((30, 2), (20, 2), (4, 1)):
            seconds = limit.picture_seconds(steps, rows=rows)
            rate = 1 / seconds
            assert re.search(
                rf"^\| {steps} steps .* \| {1000 * seconds:.0f} ms \| {rate:.{0 if rate > 10 else 2}f} \|$",
                page,
                re.MULTILINE,
            )

    def test_of_the_share_of_the_limit_that_each_bar_is(self, page: str, limit: Limit) -> None:
        step, draft = limit.step_seconds(), limit.picture_seconds(4, rows=1)
        of_limit = {
            "eager_steps_per_second": step,
            "compiled_steps_per_second": step,
            "best_images_per_second_30": limit.picture_seconds(30),
            "best_images_per_second_20": limit.picture_seconds(20),
            "fp8_images_per_second_20": limit.picture_seconds(20),  # of bfloat16's, as the page says
            "draft_images_per_second": draft,
        }
        assert of_limit.keys() == bench_gpu.AT_LEAST.keys()
        rows = dict(re.findall(r"^\| `(\w+)`: .* \| ≥ [\d.]+ \| (\d+) %", page, re.MULTILINE))
        expected = {key: f"{100 * bench_gpu.AT_LEAST[key][1] * seconds:.0f}" for key, seconds in of_limit.items()}
        assert rows == expected
