"""Which part of a picture is meant: cells, a mask that somebody uploaded, or words → the mask of a recipe."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from bot.cells import CellGrid, mask_of, mask_of_boxes
from bot.compose import StartingPicture
from bot.regions import Region
from generation.catalogue import Catalogue
from generation.errors import RequestRejected
from generation.intake.intake import Upload
from generation.masks import PAINTED_FROM
from generation.recipe import Mask
from storage.files import Files

MAX_WORDS = 200  # characters; what finds things by words reads some 70 of its own


class PartMissing(RequestRejected):
    """Nothing says which part is meant."""

    key = "part_missing"


class PartAmbiguous(RequestRejected):
    """It is said in several ways which part is meant."""

    key = "part_ambiguous"


class MaskOfNothing(RequestRejected):
    """The mask keeps all of the picture."""

    key = "mask_of_nothing"


class MaskOfEverything(RequestRejected):
    """The mask keeps nothing of the picture."""

    key = "mask_of_everything"


class MaskSize(RequestRejected):
    """The mask has another size than its picture. Fields: `mask_size`, `picture_size` (as `W×H`)."""

    key = "mask_size"


class CannotFindWords(RequestRejected):
    """No network that finds things by words is configured."""

    key = "cannot_find_words"


class Masks:
    """Makes masks. All raise `RequestRejected` for what cannot be one."""

    def __init__(self, *, catalogue: Catalogue, files: Files) -> None:
        self._catalogue = catalogue
        self._files = files

    async def by_cells(self, grid: CellGrid, numbers: Collection[int]) -> Mask:
        """Those cells. Raises `MaskOfNothing` or `MaskOfEverything`."""
        chosen = {number for number in numbers if 1 <= number <= grid.count}
        if not chosen:
            raise MaskOfNothing
        if len(chosen) == grid.count:
            raise MaskOfEverything
        return Mask(digest=await self._files.write(await asyncio.to_thread(mask_of, grid, chosen)))

    async def by_region(self, region: Region, picture: StartingPicture) -> Mask:
        """One rectangle."""
        box = region.box(picture.width, picture.height)
        made = await asyncio.to_thread(mask_of_boxes, picture.width, picture.height, [box])
        return Mask(digest=await self._files.write(made))

    async def by_upload(self, upload: Upload, picture: StartingPicture) -> Mask:
        """A mask that somebody made. Raises `MaskSize`, `MaskOfNothing` or `MaskOfEverything`."""
        sizes = [f"{size.width}×{size.height}" for size in (upload, picture)]
        if sizes[0] != sizes[1]:
            raise MaskSize(mask_size=sizes[0], picture_size=sizes[1])
        darkest, brightest = upload.greys
        if brightest < PAINTED_FROM:
            raise MaskOfNothing
        if darkest >= PAINTED_FROM:
            raise MaskOfEverything
        return Mask(digest=await self._files.write(upload.png))

    def check_words(self) -> None:
        """Raises `CannotFindWords` where nothing is configured that finds things by words."""
        if not self._catalogue.finds_by_words:
            raise CannotFindWords

    def by_words(self, text: str) -> Mask:
        """What these words name. Raises `CannotFindWords` or `PartMissing`."""
        self.check_words()
        words = " ".join(text.split())[:MAX_WORDS]
        if not words:
            raise PartMissing
        return Mask(words=words)
