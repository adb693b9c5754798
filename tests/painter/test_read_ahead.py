"""What is read of the model that comes next, and that nothing of it shows in pictures."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from structlog.testing import capture_logs

from generation.catalogue import ModelSpec
from generation.engine.protocol import Progress
from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable
from generation.painter.painter import Painter
from generation.painter.read_ahead import ReadAhead
from tests.painter.tiny_sdxl import build_pipeline, paint, recipe, spec_for

PATIENCE = 180  # seconds, on a machine that does much else
BUDGET = PainterSettings(device="cpu", models_in_memory_gigabytes=1.0)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
    folder = tmp_path_factory.mktemp("coming") / "other"
    build_pipeline(1).save_pretrained(folder)
    return spec_for(folder, name="other")


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as logs:
        yield logs


def weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*/*.safetensors"))


def ended(ahead: ReadAhead) -> None:
    """Wait until nothing is read any more."""
    if ahead._reading is not None:
        ahead._reading.join(PATIENCE)
        assert not ahead._reading.is_alive()


def told(logs: list[MutableMapping[str, Any]]) -> list[tuple[str, object]]:
    """What was logged: the bytes that were read, or why none were."""
    return [(log["event"], log.get("nbytes", log.get("reason"))) for log in logs if "read_ahead" in log["event"]]


def pictures(painter: Painter, *models: ModelSpec, coming: ModelSpec | None = None) -> list[bytes]:
    """One of each model; at the first step of the first, `coming` is expected and read."""

    def on_progress(progress: Progress) -> None:
        if progress.step == 1 and coming is not None:
            painter.expect(coming)
            ended(painter._read_ahead)

    made = [paint(painter, models[0], recipe(model=models[0].name), on_progress=on_progress)]
    made += [paint(painter, model, recipe(model=model.name)) for model in models[1:]]
    return [picture.png for painted in made for picture in painted.pictures]


class TestPainting:
    def test_reading_while_another_paints_shows_in_no_picture(
        self, tiny: ModelSpec, other: ModelSpec, logs: list[MutableMapping[str, Any]]
    ) -> None:
        expected = pictures(Painter(BUDGET), tiny, other)
        assert not told(logs)
        assert pictures(Painter(BUDGET), tiny, other, coming=other) == expected
        assert told(logs) == [("model_read_ahead", weight_bytes(Path(other.source)))]

    def test_a_model_that_is_held_is_not_read(
        self, tiny: ModelSpec, other: ModelSpec, logs: list[MutableMapping[str, Any]]
    ) -> None:
        painter = Painter(BUDGET)
        painter.load(other)
        pictures(painter, tiny, coming=other)
        pictures(painter, tiny, coming=tiny)
        assert not told(logs)
        # Another one by that name is another model.
        pictures(painter, tiny, coming=spec_for(tiny.source, name="other"))
        assert told(logs) == [("model_read_ahead", weight_bytes(Path(tiny.source)))]

    def test_one_that_is_missing_is_told_in_its_turn(
        self, tiny: ModelSpec, tmp_path: Path, logs: list[MutableMapping[str, Any]]
    ) -> None:
        painter = Painter(BUDGET)
        missing = spec_for(tmp_path / "gone", name="missing")
        before = pictures(painter, tiny)
        assert pictures(painter, tiny, coming=missing) == before
        assert [event for event, _ in told(logs)] == ["model_not_read_ahead"]
        with pytest.raises(ModelUnavailable):
            painter.load(missing)
        assert pictures(painter, tiny) == before


class TestBudget:
    @pytest.mark.parametrize("beyond", [0, 1])
    def test_what_takes_more_is_not_read(
        self, other: ModelSpec, beyond: int, logs: list[MutableMapping[str, Any]]
    ) -> None:
        nbytes = weight_bytes(Path(other.source))
        ahead = ReadAhead(most_bytes=nbytes - beyond)
        ahead.begin(other)
        ended(ahead)
        outcome = ("model_not_read_ahead", "beyond the budget") if beyond else ("model_read_ahead", nbytes)
        assert told(logs) == [outcome]

    def test_without_one_nothing_is_read(self, other: ModelSpec, logs: list[MutableMapping[str, Any]]) -> None:
        ahead = ReadAhead(most_bytes=0)
        ahead.begin(other)
        assert ahead._reading is None
        assert not told(logs)

    def test_memory_that_others_need_is_left_to_them(
        self, other: ModelSpec, logs: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        free = 2 * weight_bytes(Path(other.source)) - 1
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=free))
        ahead = ReadAhead(most_bytes=10**9)
        ahead.begin(other)
        ended(ahead)
        assert told(logs) == [("model_not_read_ahead", "too little memory is free")]


class TestFiles:
    """Which files are read, for each form that a model has."""

    def read(self, spec: ModelSpec, logs: list[MutableMapping[str, Any]]) -> object:
        """The bytes that were read."""
        ahead = ReadAhead(most_bytes=10**9)
        ahead.begin(spec)
        ended(ahead)
        ((event, outcome),) = told(logs)
        logs.clear()
        return outcome if event == "model_read_ahead" else None

    def test_a_single_file(self, tmp_path: Path, logs: list[MutableMapping[str, Any]]) -> None:
        (tmp_path / "one.safetensors").write_bytes(bytes(9_000_001))
        assert self.read(spec_for(tmp_path / "one.safetensors"), logs) == 9_000_001

    def test_of_a_folder_the_weights_that_are_loaded(
        self, tmp_path: Path, logs: list[MutableMapping[str, Any]]
    ) -> None:
        sizes = {"model": 1, "model-00001-of-00002": 2, "model.fp16": 4, "model.fp16-00001-of-00002": 8}
        for part in ("unet", "vae", "text_encoder", "text_encoder_2", "safety_checker"):
            (tmp_path / part).mkdir()
            for name, size in sizes.items():
                (tmp_path / part / f"{name}.safetensors").write_bytes(bytes(size))
        assert self.read(spec_for(tmp_path), logs) == 4 * (1 + 2)
        assert self.read(spec_for(tmp_path, variant="fp16"), logs) == 4 * (4 + 8)

    def test_of_a_hub_model_what_was_downloaded(
        self, other: ModelSpec, tmp_path: Path, logs: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        spec = spec_for("someone/other")
        assert self.read(spec, logs) is None  # and nothing is asked for
        shutil.copytree(other.source, tmp_path / "models--someone--other" / "snapshots" / "abc")
        (tmp_path / "models--someone--other" / "refs").mkdir()
        (tmp_path / "models--someone--other" / "refs" / "main").write_text("abc")
        assert self.read(spec, logs) == weight_bytes(Path(other.source))


class TestGivingWay:
    def test_it_rests_while_another_model_is_loaded(
        self, tiny: ModelSpec, other: ModelSpec, logs: list[MutableMapping[str, Any]]
    ) -> None:
        ahead = ReadAhead(most_bytes=10**9)
        with ahead.at_rest(tiny):
            ahead.begin(other)
            assert ahead._reading is not None
            ahead._reading.join(1)  # in which it would be done, and is on no machine made to fail
            assert not told(logs)
        ended(ahead)
        assert told(logs) == [("model_read_ahead", weight_bytes(Path(other.source)))]

    def test_it_is_read_once_for_each_time_that_it_is_loaded(
        self, tiny: ModelSpec, other: ModelSpec, logs: list[MutableMapping[str, Any]]
    ) -> None:
        ahead = ReadAhead(most_bytes=10**9)
        once = ("model_read_ahead", weight_bytes(Path(other.source)))
        ahead.begin(other)
        ended(ahead)
        ahead.call_off()
        with ahead.at_rest(tiny):
            ahead.begin(other)
        ended(ahead)
        assert told(logs) == [once]
        with ahead.at_rest(other):
            pass
        ahead.begin(other)
        ended(ahead)
        assert told(logs) == [once, once]

    @pytest.mark.parametrize("why", ["called off", "another", "its turn"])
    def test_it_stops_when_it_is_not_wanted_any_more(
        self, tiny: ModelSpec, other: ModelSpec, why: str, logs: list[MutableMapping[str, Any]]
    ) -> None:
        ahead = ReadAhead(most_bytes=10**9)
        with ahead.at_rest(tiny):
            ahead.begin(other)
            reading = ahead._reading
            assert reading is not None
            if why == "called off":
                ahead.call_off()
            elif why == "another":
                ahead.begin(dataclasses.replace(other, name="another"))
            else:
                with ahead.at_rest(other):
                    pass
            reading.join(PATIENCE)
            assert not reading.is_alive()
        ended(ahead)
        by_model = {log["model"]: log["event"] for log in logs}
        assert by_model.pop("other") == "model_not_read_ahead"
        assert by_model == ({"another": "model_read_ahead"} if why == "another" else {})
