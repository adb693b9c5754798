"""The command line: what it prints, writes and returns."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from PIL import Image

from bot.cli import main
from bot.config import PROGRAM_FOLDER, Config, load_config
from bot.doctor import Finding, examine
from bot.drawing import DrawingFailed, draw, save
from generation.engine.settings import EngineSettings
from generation.errors import EngineDead, UnknownName
from generation.picture import read_recipe
from generation.queue.listener import JobProgress
from storage.errors import FilesUnwritable
from storage.migrations import migrate

DRAWN_BY_PILLOW = EngineSettings(painter="tests.bot.drawing_painter:DrawingPainter", first_pause=0.01)
NO_PAINTER = EngineSettings(painter="tests.bot.drawing_painter:Nobody", first_pause=0.01, max_deaths=1)
WEIGHTS = PROGRAM_FOLDER / "generation" / "pocket" / "weights"

Limner = Callable[..., int]


@pytest.fixture(autouse=True)
def nothing_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("LIMNER_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.toml").write_text("")
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


@pytest.fixture
def limner(monkeypatch: pytest.MonkeyPatch) -> Limner:
    """`limner("doctor")` runs the command line; its exit status."""

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["limner", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code if isinstance(ended.value.code, int) else 0

    return call


@pytest.fixture
def config() -> Config:
    return load_config(Path("config.toml"))


def test_help_loads_nothing_heavy() -> None:
    heavy = ("discord", "torch", "sqlalchemy", "pydantic", "PIL", "prometheus_client", "aiohttp")
    program = (
        "import sys\n"
        "sys.argv = ['limner', '--help']\n"
        "from bot.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROGRAM_FOLDER, capture_output=True, text=True, check=True
    )
    for command in ("run", "demo", "imagine", "doctor", "migrate", "bench"):
        assert f"  {command} " in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["a boat --asspect 3:2"], "There is no flag `--asspect`. Did you mean `--aspect`?"),
        (["a", "boat", "--seed", "-1"], "`--seed` does not take `-1`; it takes 0 … 4294967295."),
        (["a boat", "--style", "inc"], "There is no style `inc`. Did you mean `ink`?"),
        (
            ["a {red, blue} boat --repeat 2"],
            "That makes 4 jobs, and here only one can be ordered: leave `--repeat` and the braces out.",
        ),
        (["a boat --model sdxl2"], "There is no model `sdxl2`. Did you mean `sdxl`?"),
        (
            ["a boat --draft --model sdxl"],
            "The model `sdxl` has no way to draw in a few steps, so `--draft` cannot be used with it.",
        ),
        (["--seed", "7"], "Say what to draw: there is nothing but flags in your prompt."),
        (["a boat", "-o", "boat.jpg"], "boat.jpg is no .png file in a folder that is there."),
        (["a boat", "-o", "nowhere/boat.png"], "nowhere/boat.png is no .png file in a folder that is there."),
    ],
)
@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_a_mistake_is_one_sentence_and_status_2(
    limner: Limner, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str, json_flag: list[str]
) -> None:
    assert limner("imagine", *words, *json_flag) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", sentence + "\n")


def test_a_bench_takes_its_options_after_its_name(limner: Limner, capsys: pytest.CaptureFixture[str]) -> None:
    assert limner("bench", "--json", "storage") == 2
    assert "--json and --config come after the command's name." in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    ["run", "demo", "migrate", "doctor", "bench", "bench gpu", "bench batching", "bench storage", "imagine boat"],
)
def test_bad_settings_stop_every_command_with_one_sentence(
    limner: Limner, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    Path("config.toml").write_text("[quota]\ndaily_credit = 5")
    assert limner(*command.split()) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "config.toml: there is no key quota.daily_credit; did you mean quota.daily_credits?\n"


def test_the_settings_can_be_named(limner: Limner, capsys: pytest.CaptureFixture[str]) -> None:
    Path("other.toml").write_text("[limits]\nsteps = 5")
    assert limner("imagine", "a boat --steps 6", "--config", "other.toml") == 2
    assert "it takes 1 … 5" in capsys.readouterr().err


def test_run_without_a_token_says_what_to_do(limner: Limner, capsys: pytest.CaptureFixture[str]) -> None:
    assert limner("run") == 1
    assert "DISCORD_TOKEN" in capsys.readouterr().err


def test_migrate_makes_the_database_and_may_be_repeated(limner: Limner, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert limner("migrate") == 0
        assert "up to date" in capsys.readouterr().out
    assert Path("data/limner.sqlite3").is_file()


async def test_a_drawing_goes_the_whole_way_without_discord(config: Config, tmp_path: Path) -> None:
    steps: list[JobProgress] = []
    text = "a red boat --ar 3:2 --seed 7 --style ink --n 3 --steps 5"
    drawing = await draw(config, text, on_progress=steps.append, engine_settings=DRAWN_BY_PILLOW)
    assert (drawing.job.style, drawing.job.cost) == ("ink", 1)  # three pictures at a quarter of the steps
    assert drawing.seconds > 0
    assert {progress.steps for progress in steps} == {5}
    saved = await save(drawing, tmp_path / "boat.png")
    assert saved.grid == tmp_path / "boat.png"
    assert [path.name for path in saved.pictures] == ["boat-1.png", "boat-2.png", "boat-3.png"]
    assert [read_recipe(path.read_bytes()) for path in saved.pictures] == list(drawing.job.recipes)
    with Image.open(saved.grid) as grid:
        assert grid.size == (2 * 152, 2 * 104)
    assert not (tmp_path / "data").exists()


async def test_a_single_picture_is_the_file_itself(config: Config, tmp_path: Path) -> None:
    drawing = await draw(config, "a boat --n 1 --seed 7 --steps 2", engine_settings=DRAWN_BY_PILLOW)
    saved = await save(drawing, tmp_path / "boat.png")
    assert (saved.pictures, saved.grid) == ((tmp_path / "boat.png",), None)
    assert read_recipe(saved.pictures[0].read_bytes()) == drawing.job.recipes[0]


async def test_a_file_that_cannot_be_written_is_named(config: Config, tmp_path: Path) -> None:
    drawing = await draw(config, "a boat --n 1 --steps 2", engine_settings=DRAWN_BY_PILLOW)
    (tmp_path / "boat.png").mkdir()
    with pytest.raises(FilesUnwritable) as caught:
        await save(drawing, tmp_path / "boat.png")
    assert caught.value.fields["path"] == str(tmp_path / "boat.png")


async def test_a_drawing_that_fails_says_why(config: Config) -> None:
    with pytest.raises(DrawingFailed) as caught:
        await draw(config, "broken --n 1", engine_settings=DRAWN_BY_PILLOW)
    assert caught.value.fields == {"reason": "painting_failed"}


async def test_a_worker_that_cannot_start_is_told(config: Config) -> None:
    with pytest.raises(EngineDead):
        await draw(config, "a boat", engine_settings=NO_PAINTER)


async def test_what_is_refused_starts_no_worker(config: Config) -> None:
    with pytest.raises(UnknownName):
        await draw(config, "a boat --style nothing", engine_settings=NO_PAINTER)


@pytest.mark.skipif(not WEIGHTS.is_dir(), reason="the pocket model's weights are not here")
def test_imagine_draws_with_the_pocket_model(limner: Limner, capfd: pytest.CaptureFixture[str]) -> None:
    assert limner("imagine", "a red boat on the sea --ar 3:2 --seed 7 --n 1", "-o", "boat.png", "--json") == 0
    report = json.loads(capfd.readouterr().out)
    assert (report["seed"], report["size"], report["cost"]) == (7, [152, 104], 1)
    assert (report["files"], report["grid"], report["style"]) == (["boat.png"], None, None)
    assert report["recipes"][0]["prompt"] == "a red boat on the sea"
    assert report["seconds"] > 0
    with Image.open("boat.png") as picture:
        assert picture.size == (152, 104)


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.key: finding.state for finding in findings}


async def cuda_and_a_model(config: Config) -> Mapping[str, Any]:
    device = {"asked": "auto", "device": "cuda:0", "name": "H200", "dtype": "bfloat16", "gib": 139.8}
    return {"torch": "2.13.0", "devices": [device], "model": {"state": "found", "reason": ""}}


async def no_torch(config: Config) -> Mapping[str, Any]:
    return {"trouble": "torch_broken", "detail": "ModuleNotFoundError: No module named 'torch'"}


async def test_the_doctor_finds_what_is_there_and_what_is_missing(
    config: Config, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert states(await examine(config, ask=cuda_and_a_model)) == {
        "python": "ok",
        "device": "ok",
        "model_found": "ok",
        "model_unused": "note",
        "network": "ok",
        "loras": "ok",
        "embeddings": "ok",
        "styles": "ok",
        "no_classifier": "ok",
        "database_new": "ok",
        "files": "ok",
        "token_missing": "todo",
    }
    assert not (tmp_path / "data").exists()
    monkeypatch.setenv("DISCORD_TOKEN", "abc")
    migrate(config.storage.database)
    found = await examine(config, ask=cuda_and_a_model)
    assert {finding.key for finding in found} >= {"token", "database"}
    assert all(finding.state == "ok" or finding.key == "model_unused" for finding in found)


async def test_the_doctor_says_when_torch_is_broken(config: Config) -> None:
    assert states(await examine(config, ask=no_torch))["torch_broken"] == "todo"


def test_the_doctor_names_what_is_wrong_and_what_to_do(
    limner: Limner, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The one test here that loads torch."""
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "evil.safetensors").write_bytes(b"not at all")
    (tmp_path / "embeddings").mkdir()
    (tmp_path / "embeddings" / "bad.safetensors").write_bytes(b"not at all")
    (tmp_path / "styles.toml").write_text("[ink]")
    (tmp_path / "file").write_text("")
    text = (
        '[generation]\nupscaler = "./gone"\nsegmenter = "nobody/segmenter"\nmodel = "mine"\n'
        'devices = ["cpu", "cuda:99"]\nlora_folders = ["loras"]\nembedding_folders = ["embeddings"]\n'
        'styles = "styles.toml"\n'
        '[models.mine]\nsource = "gone.safetensors"\nrefiner = "nobody/refiner"\ndraft_lora = "quick"\n'
        '[models.theirs]\nsource = "./nowhere"\n[storage]\nfiles = "file/files"\n'
    )
    (tmp_path / "config.toml").write_text(text)
    assert limner("doctor") == 1
    # A row is "state | topic | sentence"; long sentences go on in rows of their own.
    rows = [[cell.strip() for cell in line.split("│")[1:4]] for line in capsys.readouterr().out.splitlines()]
    found = [row for row in rows if len(row) == 3]
    for state, topic, words in (
        ("ok", "Python", "torch"),
        ("note", "Device", "cpu"),
        ("to do", "Device", "cuda:99"),
        ("to do", "Model", "gone.safetensors"),
        ("note", "Model", "`--model sdxl` is refused"),
        ("to do", "Model", "`--model theirs` is refused"),
        ("note", "Model", "nobody/refiner is not on this machine, so `--refine` is refused"),
        ("to do", "Model", "generation.upscaler: there is nothing at"),
        ("note", "Model", "`hf download nobody/segmenter`"),
        ("to do", "LoRAs", "`--draft` is refused"),
        ("note", "LoRAs", "evil"),
        ("note", "Embeddings", "bad"),
        ("to do", "Styles", "ink"),
        ("ok", "Database", "first start"),
        ("to do", "Pictures", "cannot be written"),
        ("to do", "Token", "DISCORD_TOKEN"),
    ):
        assert any(row[0] == state and row[1] == topic and words in row[2] for row in found), (state, topic, words)
