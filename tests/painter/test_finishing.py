"""Batches that are finished while the next are denoised: the same pictures, and nothing lost when memory runs out."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Painted, Task
from generation.engine.settings import PainterSettings
from generation.errors import OutOfMemory, PaintingCancelled
from generation.painter import painter as painting
from generation.painter.devices import Placement
from generation.painter.finishing import Finish, overlap_of
from generation.painter.painter import Painter
from generation.recipe import Recipe, Source
from tests.painter.tiny_sdxl import NATIVE_SIZE, paint, recipe

WAIT = 120  # seconds, for a thread on a loaded machine


@pytest.fixture
def overlapping(tiny: ModelSpec) -> Painter:
    painter = Painter(PainterSettings(device="cpu", overlap="on"))
    painter.load(tiny)
    return painter


def begin(
    painter: Painter,
    model: ModelSpec,
    *recipes: Recipe,
    source: bytes | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Finish:
    tasks = tuple(Task(job_id=number, recipe=one, source=source) for number, one in enumerate(recipes))
    finish = painter.begin(Batch(tasks=tasks, model=model), on_progress=lambda _: None, cancelled=cancelled)
    assert isinstance(finish, Finish)
    return finish


class aside(threading.Thread):  # noqa: N801 - reads as a function
    """What is left of a batch, in a thread of its own; `painted` or `error` come of it."""

    def __init__(self, finish: Finish) -> None:
        super().__init__(daemon=True)
        self._finish = finish
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        try:
            self._painted = self._finish()
        except Exception as error:  # noqa: BLE001 - for the test's own thread
            self.error = error

    def result(self) -> Painted:
        self.join(WAIT)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self._painted


def test_pictures_are_the_same_to_the_bit(painter: Painter, overlapping: Painter, tiny: ModelSpec) -> None:
    """Pictures that set the VAE up in different ways, each finished while the next is begun."""
    source = paint(painter, tiny, recipe(seed=1)).pictures[0].png
    batches: list[tuple[Recipe, ...]] = [
        (recipe(seed=2), recipe("a cat", seed=3)),
        (recipe(seed=4, tile=True, width=96),),
        (
            recipe(seed=5, source=Source(digest="", strength=0.5)),
            recipe(seed=6, source=Source(digest="", strength=0.5)),
        ),
        (recipe(seed=7, source=Source(digest="", strength=0.1)),),  # no steps: the canvas itself
        (recipe(seed=8),),
    ]
    expected = []
    for recipes in batches:
        sources = (source,) * len(recipes) if recipes[0].source else ()
        expected.append([picture.png for picture in paint(painter, tiny, *recipes, sources=sources).pictures])
    ends = [
        aside(begin(overlapping, tiny, *recipes, source=source if recipes[0].source else None)) for recipes in batches
    ]
    assert [[picture.png for picture in end.result().pictures] for end in ends] == expected


def test_what_is_left_is_cancelled_before_the_next_picture(overlapping: Painter, tiny: ModelSpec) -> None:
    stop = False
    finish = begin(overlapping, tiny, recipe(), recipe(seed=1), cancelled=lambda: stop)
    stop = True
    with pytest.raises(PaintingCancelled):
        finish()
    assert finish.done


def test_seconds_are_those_that_others_waited(overlapping: Painter, tiny: ModelSpec) -> None:
    finish = begin(overlapping, tiny, recipe())
    finish._free_since = finish._started + 5
    assert finish().seconds == pytest.approx(5)


def test_a_decoder_without_memory_waits_for_the_pass_that_has_it(
    painter: Painter, overlapping: Painter, tiny: ModelSpec
) -> None:
    expected = paint(painter, tiny, recipe()).pictures[0].png
    finish = begin(overlapping, tiny, recipe())
    denoising, failed = threading.Event(), threading.Event()

    def memory(module: torch.nn.Module, inputs: Any) -> None:
        """There is none while a pass runs."""
        if overlapping._passing.locked() and not failed.is_set():
            failed.set()
            raise torch.OutOfMemoryError("pretended")

    def first_step(*_: object) -> None:
        denoising.set()
        assert failed.wait(WAIT)

    current = overlapping._models.current
    assert current is not None
    with (
        current.vae.decoder.register_forward_pre_hook(memory),
        current.text_to_image.unet.register_forward_pre_hook(first_step),
    ):
        ends: list[aside] = []
        starter = threading.Thread(target=lambda: (denoising.wait(WAIT), ends.append(aside(finish))), daemon=True)
        starter.start()
        begin(overlapping, tiny, recipe(seed=1))()
        starter.join(WAIT)
        assert ends[0].result().pictures[0].png == expected
    assert failed.is_set()
    assert overlapping._overlap == "files"


def test_a_pass_without_memory_waits_for_what_is_left_of_others(overlapping: Painter, tiny: ModelSpec) -> None:
    holds = threading.Event()
    waited_for = threading.Event()
    end_unfinished = overlapping._end_unfinished

    def wait() -> None:
        waited_for.set()
        end_unfinished()

    overlapping._end_unfinished = wait  # type: ignore[method-assign]
    # It is asked before each picture whether it was cancelled: there it stays until somebody waits for it.
    finish = begin(overlapping, tiny, recipe(), cancelled=lambda: holds.is_set() and not waited_for.wait(WAIT))
    holds.set()
    sizes: list[int] = []

    def memory(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sizes.append(len(inputs[0]) // 2)
        if not ends:
            ends.append(aside(finish))
            raise torch.OutOfMemoryError("pretended")

    ends: list[aside] = []
    current = overlapping._models.current
    assert current is not None
    with current.text_to_image.unet.register_forward_pre_hook(memory):
        painted = begin(overlapping, tiny, recipe(seed=1), recipe(seed=2))()
    assert sizes[:2] == [2, 2]  # not halved
    assert len(painted.pictures) == 2
    assert ends[0].result().pictures


@pytest.mark.parametrize("step", ["canvas_of", "pieces_of"])
def test_a_step_before_the_pass_waits_for_what_is_left_of_others(
    overlapping: Painter, tiny: ModelSpec, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    holds, waited_for = threading.Event(), threading.Event()
    end_unfinished = overlapping._end_unfinished
    monkeypatch.setattr(overlapping, "_end_unfinished", lambda: (waited_for.set(), end_unfinished()))
    # As above: it is not done before somebody waits for it.
    finish = begin(overlapping, tiny, recipe(), cancelled=lambda: holds.is_set() and not waited_for.wait(WAIT))
    holds.set()
    end = aside(finish)
    real, taken = getattr(painting, step), 0

    def memory(*arguments: Any) -> Any:
        nonlocal taken
        taken += 1
        if taken == 1:
            raise torch.OutOfMemoryError("pretended")
        assert finish.done
        return real(*arguments)

    monkeypatch.setattr(painting, step, memory)
    assert len(begin(overlapping, tiny, recipe(seed=1))().pictures) == 1
    assert taken == 2
    assert end.result().pictures
    # Such a card is too small for both at once: it need not fail at every batch.
    assert overlapping._overlap == "files"


def test_memory_that_never_comes_is_told(overlapping: Painter, tiny: ModelSpec) -> None:
    finish = begin(overlapping, tiny, recipe())

    def no_memory(*_: object) -> None:
        raise torch.OutOfMemoryError("pretended")

    current = overlapping._models.current
    assert current is not None
    with current.vae.decoder.register_forward_pre_hook(no_memory), pytest.raises(OutOfMemory):
        finish()


def test_a_model_stays_until_its_pictures_are_finished(overlapping: Painter, tiny: ModelSpec) -> None:
    finish = begin(overlapping, tiny, recipe())
    order: list[str] = []

    def finish_later() -> None:
        order.append("finishing")
        finish()
        order.append("finished")

    later = threading.Timer(0, finish_later)
    later.daemon = True
    later.start()
    other = Batch(tasks=(Task(job_id=1, recipe=recipe()),), model=_renamed(tiny)).model
    overlapping.load(other)
    order.append("loaded")
    later.join(WAIT)
    assert order.index("finishing") < order.index("loaded")
    assert finish.done
    assert overlapping._models.names == ("other",)


def _renamed(model: ModelSpec) -> ModelSpec:
    return ModelSpec(
        name="other",
        source=model.source,
        native_size=NATIVE_SIZE,
        num_inference_steps=4,
        cross_attention_dim=model.cross_attention_dim,
    )


@pytest.mark.parametrize(
    ("device", "vram", "compile_", "expected"),
    [
        ("cuda", "full", "off", "all"),
        ("cuda", "full", "unet", "all"),
        ("cuda", "full", "graphs", "files"),
        ("cuda", "medium", "off", "files"),
        ("cpu", "full", "off", "none"),
        ("mps", "full", "off", "none"),
    ],
)
def test_what_is_left_for_later_by_device(device: str, vram: Any, compile_: Any, expected: str) -> None:
    placement = Placement(device=torch.device(device), dtype=torch.float32, vram=vram)
    assert overlap_of(PainterSettings(compile=compile_), placement) == expected
    assert overlap_of(PainterSettings(compile=compile_, overlap="off"), placement) == "none"


def test_files_are_written_aside_while_pictures_are_made_at_once(
    painter: Painter, overlapping: Painter, tiny: ModelSpec
) -> None:
    overlapping._overlap = "files"
    expected = paint(painter, tiny, recipe()).pictures[0].png
    finish = begin(overlapping, tiny, recipe())
    assert all(isinstance(make()[0], Image.Image) for make in finish._makes)
    current = overlapping._models.current
    assert current is not None

    def too_late(*_: object) -> None:
        raise AssertionError("it is decoded only now")

    with current.vae.decoder.register_forward_pre_hook(too_late):
        assert finish().pictures[0].png == expected
