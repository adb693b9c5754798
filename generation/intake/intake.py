"""The parent's side of the intake: bytes in, a normalised picture out; nothing is decoded in this process."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import structlog

from generation.errors import InvalidRecipe, RequestRejected
from generation.intake.errors import (
    UploadAnimated,
    UploadTooLarge,
    UploadTooManyPixels,
    UploadUnreadable,
    UploadWrongType,
)
from generation.intake.limits import IntakeLimits
from generation.intake.picture_file import PictureFile
from generation.parameters import Parameters
from generation.recipe import Recipe

ROOT = Path(__file__).resolve().parent.parent.parent  # where the packages lie
AT_ONCE = 2  # children; each may take much memory
LOGGED_BYTES = 300  # of what a child said as it died
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_REFUSALS: dict[str, type[RequestRejected]] = {
    kind.key: kind for kind in (UploadWrongType, UploadUnreadable, UploadAnimated, UploadTooManyPixels)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A picture that was taken in: an RGB PNG without metadata, its size in pixels, and what it told of its making.

    `greys` are its darkest and its brightest pixel, 0 to 255. The recipe is one of ours by its form, the parameters are
    in the WebUI's; anybody can write such a file.
    """

    png: bytes
    width: int
    height: int
    greys: tuple[int, int]
    recipe: Recipe | None = None
    parameters: Parameters | None = None


class Intake:
    """Takes pictures in, a few at once. To be used on one event loop."""

    def __init__(self, limits: IntakeLimits | None = None) -> None:
        self.limits = limits or IntakeLimits()
        self._free = asyncio.Semaphore(AT_ONCE)

    async def take_in(self, picture: PictureFile | bytes) -> Upload:
        """Check and normalise what somebody uploaded: a file, which stays open, or its bytes.

        Raises one of `generation.intake.errors`. The child is gone when this returns, and inherits nothing: no
        environment, no files but the picture and the place for its answer.
        """
        if isinstance(picture, bytes) and len(picture) > self.limits.file_bytes:
            raise UploadTooLarge(limit=self.limits.megabytes)
        async with self._free:
            answer = await asyncio.to_thread(_ask_child, picture, self.limits)
        return _read(answer)


def _ask_child(brought: PictureFile | bytes, limits: IntakeLimits) -> bytes:
    """What the child said. Raises `UploadUnreadable` if it died or was too slow."""
    sizes = (limits.pixels, limits.memory_bytes, limits.cpu_seconds, limits.result_bytes)
    # Files and no pipes: how much may be written to a file, the system itself can limit.
    with (
        _opened(brought) as picture,
        tempfile.TemporaryFile() as answer,
        tempfile.TemporaryFile() as last_words,
    ):
        picture.seek(0)
        try:
            child = subprocess.run(
                [sys.executable, "-E", "-s", "-m", "generation.intake", *map(str, sizes)],
                cwd=ROOT,  # `-m` looks there first
                env={},
                stdin=picture,
                stdout=answer,
                stderr=last_words,
                timeout=limits.seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise UploadUnreadable from error
        if child.returncode != 0:
            last_words.seek(max(0, last_words.tell() - LOGGED_BYTES))
            why = last_words.read().decode(errors="replace")
            structlog.get_logger(__name__).info("upload_unreadable", status=child.returncode, detail=why)
            raise UploadUnreadable
        answer.seek(0)
        return answer.read()


@contextmanager
def _opened(brought: PictureFile | bytes) -> Iterator[IO[bytes]]:
    if isinstance(brought, PictureFile):
        yield brought.file
        return
    with PictureFile() as picture:
        picture.append(brought)
        yield picture.file


def _read(answer: bytes) -> Upload:
    """The child's answer, believed as far as it can be checked: it may be in the hands of whoever made the picture."""
    head, _, png = answer.partition(b"\n")
    try:
        told: dict[str, Any] = json.loads(head)
        if (refused := told.get("refused")) is not None:
            raise _REFUSALS[refused](**told["fields"])
        recipe = None if told["recipe"] is None else Recipe.from_dict(told["recipe"])
        parameters = None if told["parameters"] is None else _parameters(**told["parameters"])
        width, height = int(told["width"]), int(told["height"])
        darkest, brightest = map(int, told["greys"])
    except (ArithmeticError, ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidRecipe) as error:
        raise UploadUnreadable from error
    if not png.startswith(PNG_SIGNATURE) or min(width, height) < 1:
        raise UploadUnreadable
    return Upload(
        png=png,
        width=width,
        height=height,
        greys=(darkest, brightest),
        recipe=recipe,
        parameters=parameters,
    )


def _parameters(*, prompt: object, negative_prompt: object, settings: dict[object, object]) -> Parameters:
    """Texts, whatever the child says that they are."""
    named = {str(name): str(value) for name, value in settings.items()}
    return Parameters(prompt=str(prompt), negative_prompt=str(negative_prompt), settings=named)
