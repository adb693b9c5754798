"""What a picture starts from when it does not start from noise alone: the source, brought to the size of its pass."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from generation.engine.protocol import Task
from generation.errors import PaintingFailed
from generation.painter.aids import Aids
from generation.picture import open_picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """`picture` (RGB, at the recipe's size) is what is painted on."""

    picture: Image.Image

    def finish(self, painted: Image.Image) -> Image.Image:
        """The finished picture, from what was painted on this canvas."""
        return painted


def canvas_of(task: Task, aids: Aids) -> Canvas | None:
    """What a task starts from, or None.

    Raises `PaintingFailed` for a source that is missing or unreadable, and `ModelUnavailable` for one of the `aids`.
    """
    recipe = task.recipe
    if recipe.source is None:
        return None
    if task.source is None:
        raise PaintingFailed(detail="the source picture did not come with the task")
    try:
        with open_picture(task.source) as picture:
            rgb = picture.convert("RGB")
    except OSError as error:
        raise PaintingFailed(detail=f"the source picture cannot be read: {error}") from error
    larger = recipe.width > rgb.width or recipe.height > rgb.height
    if recipe.source.super_resolution and larger:
        rgb = aids.enlarge(rgb, recipe.width, recipe.height)
    elif rgb.size != (recipe.width, recipe.height):
        rgb = rgb.resize((recipe.width, recipe.height), Image.Resampling.LANCZOS)
    return Canvas(picture=rgb)
