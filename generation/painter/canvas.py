"""What a picture starts from when it does not start from noise alone: a source, whole, masked or in a frame."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from generation.engine.protocol import Task
from generation.errors import MaskEmpty, PaintingFailed
from generation.masks import is_empty, open_mask
from generation.painter.aids import Aids
from generation.painter.feathering import feathered, grown
from generation.painter.surroundings import repaint_around, surrounded
from generation.picture import open_picture
from generation.recipe import Frame, Recipe, Source

# Along a border new pixels fade into kept ones within this share of the model's native size, 32 pixels at SDXL's 1024,
# but not within less than one latent: seen on the embedded model, that is what a seam is wide.
BORDER_SHARE = 1 / 32
LEAST_BORDER = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """`picture` (RGB, at the recipe's size) is what is painted on.

    `repaint` (mode "L", of the same size) is how far from it: 255 all the way that the recipe goes, 0 not at all, and
    values between only the last steps of that way. `blend` (alike) is how much of the painted pixels the finished
    picture has; where it is 0 the pixels of `picture` are kept as they are. None: 255 everywhere.
    """

    picture: Image.Image
    repaint: Image.Image | None = None
    blend: Image.Image | None = None

    def finish(self, painted: Image.Image) -> Image.Image:
        """The finished picture, from what was painted on this canvas."""
        return painted if self.blend is None else Image.composite(painted, self.picture, self.blend)


def canvas_of(task: Task, native_size: int, aids: Aids) -> Canvas | None:
    """What a task starts from, or None.

    Raises `PaintingFailed` for a source or mask that is missing or unreadable, `MaskEmpty`, `NothingFound` for words
    that name nothing in the picture, and `ModelUnavailable` for one of the `aids`.
    """
    recipe = task.recipe
    if recipe.source is None:
        return None
    border = max(LEAST_BORDER, round(native_size * BORDER_SHARE))
    picture = _opened_source(task)
    if recipe.source.frame is not None:
        picture = _sized(picture, recipe.source, (recipe.source.frame.width, recipe.source.frame.height), aids)
        return _framed(picture, recipe.source.frame, (recipe.width, recipe.height), native_size, border)
    picture = _sized(picture, recipe.source, (recipe.width, recipe.height), aids)
    if recipe.mask is None:
        return Canvas(picture=picture)
    mask = _mask_of(task, recipe, picture, border, aids)
    return Canvas(picture=picture, repaint=mask, blend=feathered(mask, border))


def _opened_source(task: Task) -> Image.Image:
    if task.source is None:
        raise PaintingFailed(detail="the source picture did not come with the task")
    try:
        with open_picture(task.source) as picture:
            return picture.convert("RGB")
    except OSError as error:
        raise PaintingFailed(detail=f"the source picture cannot be read: {error}") from error


def _sized(picture: Image.Image, source: Source, size: tuple[int, int], aids: Aids) -> Image.Image:
    if picture.size == size:
        return picture
    larger = size[0] > picture.width or size[1] > picture.height
    if source.super_resolution and larger:
        return aids.enlarge(picture, *size)
    return picture.resize(size, Image.Resampling.LANCZOS)


def _mask_of(task: Task, recipe: Recipe, picture: Image.Image, border: int, aids: Aids) -> Image.Image:
    """Where a masked picture is painted anew: 255, else 0."""
    if recipe.mask is not None and recipe.mask.words is not None:
        # With its border beside what was found, and not across it: nothing of the old thing is to be left.
        return grown(aids.find(picture, recipe.mask.words), border)
    if task.mask is None:
        raise PaintingFailed(detail="the mask did not come with the task")
    try:
        mask = open_mask(task.mask, picture.size)
    except OSError as error:
        raise PaintingFailed(detail=f"the mask cannot be read: {error}") from error
    if is_empty(mask):
        raise MaskEmpty
    return mask


def _framed(picture: Image.Image, frame: Frame, size: tuple[int, int], native_size: int, border: int) -> Canvas:
    """The picture in its frame, with something to start from around it. New pixels fade in within the frame."""
    left, top, right, bottom = frame.x, frame.y, frame.x + frame.width, frame.y + frame.height
    border = min(border, min(frame.width, frame.height) // 4)
    kept = (
        left + border * (left > 0),
        top + border * (top > 0),
        right - border * (right < size[0]),
        bottom - border * (bottom < size[1]),
    )
    new = Image.new("L", size, 255)
    new.paste(0, kept)
    return Canvas(
        picture=surrounded(picture, frame, size, native_size),
        repaint=repaint_around(frame, size, native_size),
        blend=feathered(new, border),
    )
