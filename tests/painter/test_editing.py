"""A part of a picture painted anew, and more around one: the rest stays as it was, and the new part fits to it."""

from __future__ import annotations

import dataclasses
import statistics
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from generation.catalogue import ModelSpec
from generation.engine.protocol import Batch, Picture, Progress, Task
from generation.engine.settings import PainterSettings
from generation.errors import MaskEmpty, ModelUnavailable, NothingFound, PaintingCancelled, PaintingFailed
from generation.framing import Canvas, Side, framed, panned, zoomed
from generation.painter.aids import Aids
from generation.painter.canvas import canvas_of
from generation.painter.devices import choose_placement
from generation.painter.painter import Painter
from generation.painter.schedulers import SCHEDULERS
from generation.pocket import measure
from generation.recipe import Frame, Mask, Recipe, Source
from tests.painter.tiny_clipseg import save_clipseg
from tests.painter.tiny_sdxl import NATIVE_SIZE, distance, paint, pixels, recipe

POCKET = Path(__file__).parents[2] / "generation" / "pocket" / "weights"
BOAT = Recipe(
    prompt="a red boat on the sea at sunset",
    model="pocket",
    width=128,
    height=128,
    seed=1,
    num_inference_steps=20,
    guidance_scale=4.5,
)
# With these seeds the boat stands in the middle and keeps off the edges.
SEEDS = (1, 2, 4)
# As wide as the boats with what surrounds them.
AROUND_BOATS = (12, 16, 116, 116)
ANEW = Source(digest="s", strength=1.0)
MASKED = Mask(digest="m")
# What batched kernels round otherwise than those for one picture.
ROUNDING = 0.2


def file_of(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def mask_of(*boxes: tuple[int, int, int, int], size: tuple[int, int] = (NATIVE_SIZE, NATIVE_SIZE)) -> bytes:
    mask = Image.new("L", size)
    for box in boxes:
        mask.paste(255, box)
    return file_of(mask)


def noise(width: int = NATIVE_SIZE, height: int = NATIVE_SIZE, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def edit(painter: Painter, model: ModelSpec, *tasks: tuple[Recipe, bytes, bytes | None]) -> tuple[Picture, ...]:
    """A picture for each recipe, source and mask, painted in one batch."""
    numbered = tuple(
        Task(job_id=number, recipe=one, source=source, mask=mask) for number, (one, source, mask) in enumerate(tasks)
    )
    batch = Batch(tasks=numbered, model=model)
    return painter.paint(batch, on_progress=lambda progress: None, cancelled=lambda: False).pictures


class TestMasks:
    BOX = (24, 16, 48, 48)
    OUTSIDE = np.asarray(Image.open(BytesIO(mask_of(BOX)))) == 0

    @pytest.mark.parametrize("scheduler", [None, *SCHEDULERS])
    @pytest.mark.parametrize("strength", [0.5, 1.0])
    def test_outside_the_mask_are_the_sources_own_pixels_and_inside_are_others(
        self, painter: Painter, tiny: ModelSpec, scheduler: str | None, strength: float
    ) -> None:
        source = noise()
        wanted = recipe(scheduler=scheduler, source=Source(digest="s", strength=strength), mask=MASKED)
        (picture,) = edit(painter, tiny, (wanted, file_of(source), mask_of(self.BOX)))
        changed = np.abs(pixels(picture) - np.asarray(source, dtype=np.int64))
        assert not changed[self.OUTSIDE].any()
        assert changed[~self.OUTSIDE].mean() > 10

    def test_each_of_a_batch_has_its_own_source_and_mask(self, painter: Painter, tiny: ModelSpec) -> None:
        tasks = [
            (recipe(seed=1, source=ANEW, mask=MASKED), file_of(noise(seed=1)), mask_of((0, 0, 32, 64))),
            (recipe("a cat", seed=2, source=ANEW, mask=MASKED), file_of(noise(seed=2)), mask_of((32, 0, 64, 64))),
            (
                recipe(seed=3, source=ANEW, mask=MASKED),
                file_of(noise(seed=3)),
                mask_of((8, 8, 24, 24), (40, 40, 60, 60)),
            ),
        ]
        together = edit(painter, tiny, *tasks)
        for task, picture in zip(tasks, together, strict=True):
            (alone,) = edit(painter, tiny, task)
            assert distance(alone, picture) <= ROUNDING

    def test_a_mask_of_another_size_is_brought_to_the_pictures(self, painter: Painter, tiny: ModelSpec) -> None:
        source = noise()
        wanted = recipe(source=ANEW, mask=MASKED)
        (small,) = edit(painter, tiny, (wanted, file_of(source), mask_of((0, 0, 16, 32), size=(32, 32))))
        (same,) = edit(painter, tiny, (wanted, file_of(source), mask_of((0, 0, 32, 64))))
        assert distance(small, same) <= ROUNDING

    def test_too_little_strength_for_a_step_gives_the_source_back(self, painter: Painter, tiny: ModelSpec) -> None:
        source = noise()
        wanted = recipe(source=Source(digest="s", strength=0.1), mask=MASKED)
        (picture,) = edit(painter, tiny, (wanted, file_of(source), mask_of(self.BOX)))
        assert (pixels(picture) == np.asarray(source)).all()

    def test_a_mask_that_keeps_everything_is_told(self, painter: Painter, tiny: ModelSpec) -> None:
        with pytest.raises(MaskEmpty):
            edit(painter, tiny, (recipe(source=ANEW, mask=MASKED), file_of(noise()), mask_of()))

    @pytest.mark.parametrize("mask", [None, b"", b"no picture", mask_of(BOX)[:60]])
    def test_a_mask_that_is_none_is_told(self, painter: Painter, tiny: ModelSpec, mask: bytes | None) -> None:
        with pytest.raises(PaintingFailed, match="mask"):
            edit(painter, tiny, (recipe(source=ANEW, mask=MASKED), file_of(noise()), mask))

    def test_a_mask_that_would_fill_the_memory_is_not_decoded(self, painter: Painter, tiny: ModelSpec) -> None:
        bomb = file_of(Image.new("1", (8200, 8200)))
        with pytest.raises(PaintingFailed, match="mask"):
            edit(painter, tiny, (recipe(source=ANEW, mask=MASKED), file_of(noise()), bomb))

    def test_cancelling_ends_it_within_a_step(self, painter: Painter, tiny: ModelSpec) -> None:
        seen: list[Progress] = []
        task = Task(job_id=1, recipe=recipe(source=ANEW, mask=MASKED), source=file_of(noise()), mask=mask_of(self.BOX))
        with pytest.raises(PaintingCancelled):
            painter.paint(Batch(tasks=(task,), model=tiny), on_progress=seen.append, cancelled=lambda: len(seen) == 2)
        assert len(seen) == 2


class TestFrames:
    @pytest.mark.parametrize("size", [(32, 32), (90, 70)])
    def test_the_old_picture_is_kept_to_the_pixel_but_for_its_border(
        self, painter: Painter, tiny: ModelSpec, size: tuple[int, int]
    ) -> None:
        """Scaled as Lanczos does it, or not where that is its size. Its border is 8 pixels wide on so small a model."""
        frame = Frame(x=24, y=16, width=32, height=32)
        source = noise(*size)
        wanted = recipe(width=96, height=64, source=dataclasses.replace(ANEW, frame=frame))
        (picture,) = edit(painter, tiny, (wanted, file_of(source), None))
        old = np.asarray(source.resize((32, 32), Image.Resampling.LANCZOS), dtype=np.int64)
        if size == (32, 32):
            assert (old == np.asarray(source)).all()
        border = 8
        there = pixels(picture)[16:48, 24:56]
        assert (there[border:-border, border:-border] == old[border:-border, border:-border]).all()
        assert (there != old).any()

    def test_an_edge_that_is_the_canvass_has_no_border(self, painter: Painter, tiny: ModelSpec) -> None:
        source = noise(64, 64)
        frame = Frame(x=0, y=0, width=64, height=64)
        wanted = recipe(width=96, height=64, source=dataclasses.replace(ANEW, frame=frame))
        (picture,) = edit(painter, tiny, (wanted, file_of(source), None))
        assert (pixels(picture)[:, :56] == np.asarray(source)[:, :56]).all()

    def test_frames_may_be_as_small_as_a_pixel(self, painter: Painter, tiny: ModelSpec) -> None:
        wanted = recipe(source=dataclasses.replace(ANEW, frame=Frame(x=30, y=30, width=1, height=1)))
        (picture,) = edit(painter, tiny, (wanted, file_of(noise()), None))
        assert (picture.width, picture.height) == (NATIVE_SIZE, NATIVE_SIZE)


class TestWords:
    def test_what_is_found_is_painted_anew(self, tiny: ModelSpec, tmp_path: Path) -> None:
        everywhere = Painter(PainterSettings(device="cpu", segmenter=str(save_clipseg(tmp_path, bias=100))))
        source = file_of(noise())
        tasks = [
            (recipe(source=ANEW, mask=mask), source, mask_of((0, 0, 64, 64))) for mask in (Mask(words="it"), MASKED)
        ]
        found, masked = (edit(everywhere, tiny, task)[0] for task in tasks)
        assert distance(found, masked) == 0

    def test_it_is_painted_anew_whole_and_the_border_is_beside_it(self) -> None:
        class FindsAtLeft(Aids):
            def find(self, image: Image.Image, words: str) -> Image.Image:
                mask = Image.new("L", image.size)
                mask.paste(255, (0, 0, image.width // 2, image.height))
                return mask

        settings = PainterSettings(device="cpu")
        task = Task(job_id=1, recipe=recipe(source=ANEW, mask=Mask(words="it")), source=file_of(noise()))
        canvas = canvas_of(task, 4 * NATIVE_SIZE, FindsAtLeft(settings, choose_placement(settings)))
        assert canvas is not None
        assert canvas.repaint is not None
        assert canvas.repaint.getbbox() == (0, 0, 32 + 8, 64)
        row = np.asarray(canvas.blend)[20].astype(int)
        assert (row[:32] == 255).all()
        assert (np.diff(row[31:41]) < 0).all()
        assert not row[40:].any()

    def test_what_is_not_there_is_told(self, tiny: ModelSpec, tmp_path: Path) -> None:
        nowhere = Painter(PainterSettings(device="cpu", segmenter=str(save_clipseg(tmp_path, bias=-100))))
        with pytest.raises(NothingFound) as caught:
            edit(nowhere, tiny, (recipe(source=ANEW, mask=Mask(words="the boat")), file_of(noise()), None))
        assert caught.value.fields == {"words": "the boat"}

    @pytest.mark.parametrize(
        ("segmenter", "reason"),
        [
            ("", "generation.segmenter"),
            ("nowhere", "no folder"),
            ("some/clipseg", "hf download some/clipseg"),
            ("emptied", "missing"),
            ("broken", "broken"),
            (str(POCKET / "text_encoder"), "no CLIPSeg"),
        ],
    )
    def test_weights_that_are_not_there_or_broken_are_told(
        self, tiny: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, segmenter: str, reason: str
    ) -> None:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        if segmenter in ("emptied", "broken"):
            weights = save_clipseg(tmp_path / segmenter) / "model.safetensors"
            weights.write_bytes(b"\x02\0\0\0\0\0\0\0{}" if segmenter == "emptied" else b"broken")
            segmenter = str(weights.parent)
        painter = Painter(PainterSettings(device="cpu", segmenter=segmenter))
        with pytest.raises(ModelUnavailable, match=reason):
            edit(painter, tiny, (recipe(source=ANEW, mask=Mask(words="the boat")), file_of(noise()), None))


@pytest.fixture(scope="module")
def boats(artist: Painter, pocket: ModelSpec) -> tuple[bytes, ...]:
    pictures = paint(artist, pocket, *(dataclasses.replace(BOAT, seed=seed) for seed in SEEDS)).pictures
    return tuple(picture.png for picture in pictures)


def opened(png: bytes) -> Image.Image:
    return Image.open(BytesIO(png)).convert("RGB")


class TestMeaning:
    @pytest.mark.parametrize("prompt", ["a blue boat on the sea at sunset", "a blue house on the sea at sunset"])
    def test_the_masked_part_becomes_what_is_said_without_a_seam(
        self, artist: Painter, pocket: ModelSpec, boats: tuple[bytes, ...], prompt: str
    ) -> None:
        mask = mask_of(AROUND_BOATS, size=(128, 128))
        said = dataclasses.replace(BOAT, prompt=prompt, source=ANEW, mask=MASKED)
        tasks = [(dataclasses.replace(said, seed=50 + i), boat, mask) for i, boat in enumerate(boats)]
        inside = np.asarray(opened(mask).convert("L")) > 0
        for picture, boat in zip(edit(artist, pocket, *tasks), boats, strict=True):
            image = opened(picture.png)
            seen = (measure.subject_colour(image), measure.ground(image), measure.sky(image))
            assert seen == ("blue", "sea", "sunset")
            assert measure.subject_colour(opened(boat)) == "red"
            assert (pixels(picture)[~inside] == np.asarray(opened(boat))[~inside]).all()
            assert steepness(image, AROUND_BOATS) < 1.2 * steepness(image)

    def test_previews_show_what_is_kept_from_the_first_step_on(
        self, artist: Painter, pocket: ModelSpec, boats: tuple[bytes, ...]
    ) -> None:
        seen: list[Progress] = []
        said = dataclasses.replace(BOAT, prompt="a blue house on the grass", source=ANEW, mask=MASKED)
        task = Task(job_id=1, recipe=said, source=boats[0], mask=mask_of((64, 0, 128, 128), size=(128, 128)))
        artist.paint(Batch(tasks=(task,), model=pocket), on_progress=seen.append, cancelled=lambda: False)
        first, last = (opened(seen[step].previews[0]) for step in (0, -1))
        kept, painted = (
            measure.distance(first.crop(box), last.crop(box)) for box in ((0, 0, 56, 128), (72, 0, 128, 128))
        )
        assert kept < 2
        assert painted > 10

    def test_other_words_bring_other_things_into_the_new_part(
        self, artist: Painter, pocket: ModelSpec, boats: tuple[bytes, ...]
    ) -> None:
        framing = framed(panned(128, 128, Side.RIGHT), 128)
        source = dataclasses.replace(ANEW, frame=framing.frame)
        prompt = "a blue house on the right on the sea at sunset"
        said = dataclasses.replace(BOAT, prompt=prompt, width=framing.width, height=framing.height, source=source)
        tasks = [(dataclasses.replace(said, seed=50 + i), boat, None) for i, boat in enumerate(boats)]
        new = [opened(picture.png).crop((104, 0, 152, 104)) for picture in edit(artist, pocket, *tasks)]
        assert sum(measure.subject_colour(part) == "blue" for part in new) >= 2
        assert all(measure.subject_colour(opened(boat).crop((80, 0, 128, 128))) != "blue" for boat in boats)

    @pytest.mark.parametrize(
        ("canvas", "horizon_off", "colours_off"),
        [
            (panned(128, 128, Side.RIGHT), 2, 8),
            (panned(128, 128, Side.LEFT), 2, 8),
            (zoomed(128, 128, Fraction(3, 2)), 2, 14),
            (zoomed(128, 128, Fraction(2)), 2, 20),
        ],
        ids=["right", "left", "zoom 1.5", "zoom 2"],
    )
    def test_horizon_and_colours_go_on_around_the_old_picture(
        self,
        artist: Painter,
        pocket: ModelSpec,
        boats: tuple[bytes, ...],
        canvas: Canvas,
        horizon_off: float,
        colours_off: float,
    ) -> None:
        """In pixels and in 255ths, on both sides of the seam, by the mean of the pictures."""
        framing = framed(canvas, 128)
        source = dataclasses.replace(ANEW, frame=framing.frame)
        wider = dataclasses.replace(BOAT, width=framing.width, height=framing.height, source=source)
        tasks = [(dataclasses.replace(wider, seed=50 + i), boat, None) for i, boat in enumerate(boats)]
        seams = [
            seam for picture in edit(artist, pocket, *tasks) for seam in side_seams(opened(picture.png), framing.frame)
        ]
        assert statistics.fmean(seam.horizon for seam in seams) <= horizon_off
        assert statistics.fmean(seam.sky for seam in seams) <= colours_off
        assert statistics.fmean(seam.ground for seam in seams) <= colours_off
        assert statistics.fmean(seam.steepness for seam in seams) <= 1.1


@dataclasses.dataclass(frozen=True)
class Seam:
    """What differs between both sides of a seam: the horizon's height in pixels, the colours' mean in 255ths.

    `steepness` is the change from pixel to pixel across it, as a multiple of that in the whole height beside it.
    """

    horizon: float
    sky: float
    ground: float
    steepness: float


def side_seams(image: Image.Image, frame: Frame) -> list[Seam]:
    """The seams left and right of a frame, from strips of 8 pixels 4 pixels off."""
    rows = np.asarray(image, dtype=np.float64)[frame.y : frame.y + frame.height]
    seams = []
    for x in (frame.x, frame.x + frame.width):
        if not 12 <= x <= image.width - 12:
            continue
        left, right = rows[:, x - 12 : x - 4].mean(1), rows[:, x + 4 : x + 12].mean(1)
        heights = horizon(left), horizon(right)
        gaps = np.abs(left - right).mean(-1)
        across = np.abs(np.diff(rows, axis=1)).mean(-1)
        seams.append(
            Seam(
                horizon=abs(heights[0] - heights[1]),
                sky=float(gaps[: min(heights) - 4].mean()),
                ground=float(gaps[max(heights) + 4 :].mean()),
                steepness=float(across[:, x - 4 : x + 4].mean() / across.mean()),
            )
        )
    return seams


def horizon(column: NDArray[np.float64]) -> int:
    """The row where the colours above and below differ most, between 0.3 and 0.85 of the height."""
    height = len(column)
    rows = range(int(0.3 * height), int(0.85 * height))
    steps = [np.abs(column[row - 5 : row].mean(0) - column[row : row + 5].mean(0)).sum() for row in rows]
    return rows[int(np.argmax(steps))]


def steepness(image: Image.Image, box: tuple[int, int, int, int] | None = None) -> float:
    """The mean change from pixel to pixel: in the whole picture, or across a box's four borders."""
    floats = np.asarray(image, dtype=np.float64)
    across, down = np.abs(np.diff(floats, axis=1)).mean(-1), np.abs(np.diff(floats, axis=0)).mean(-1)
    if box is None:
        return float((across.mean() + down.mean()) / 2)
    left, top, right, bottom = box
    sides = [across[top:bottom, x - 2 : x + 2] for x in (left, right)]
    ends = [down[y - 2 : y + 2, left:right] for y in (top, bottom)]
    return float(np.mean([part.mean() for part in (*sides, *ends)]))


def test_words_find_the_boat_and_the_rest_stays(pocket: ModelSpec, boats: tuple[bytes, ...]) -> None:
    """With the embedded model's own network for it."""
    artist = Painter(PainterSettings(device="cpu", segmenter=str(POCKET.parent / "segmenter")))
    blue = dataclasses.replace(BOAT, prompt="a blue boat on the sea", source=ANEW, mask=Mask(words="the boat"))
    pictures = edit(
        artist, pocket, *((dataclasses.replace(blue, seed=seed), boat, None) for seed, boat in enumerate(boats))
    )
    assert sum(measure.subject_colour(opened(picture.png)) == "blue" for picture in pictures) >= len(boats) - 1
    for picture, boat in zip(pictures, boats, strict=True):
        changed = (pixels(picture) != np.asarray(opened(boat))).any(axis=2)
        assert 0.02 < changed.mean() < 0.6
        assert not changed[:12].any()
        assert not changed[-12:].any()
    with pytest.raises(NothingFound):
        edit(artist, pocket, (dataclasses.replace(blue, mask=Mask(words="the mountain")), boats[0], None))
