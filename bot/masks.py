"""Which part of a picture is meant: cells, a mask that somebody uploaded, or words → the mask of a recipe."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from bot.cells import CellGrid, mask_of
from generation.catalogue import Catalogue
from generation.errors import RequestRejected
from generation.recipe import Mask
from storage.files import Files

MAX_WORDS = 200  # characters; what finds things by words reads some 70 of its own


class PartMissing(RequestRejected):
    """Nothing says which part is meant."""

    key = "part_missing"


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
