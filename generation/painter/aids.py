"""The small networks beside a model that prepare what it starts from, each loaded when it is first needed."""

from __future__ import annotations

from PIL import Image

from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable
from generation.painter.devices import Placement
from generation.painter.segmentation import Segmenter
from generation.painter.super_resolution import Upscaler


class Aids:
    """What a painter's settings name. Not thread-safe."""

    def __init__(self, settings: PainterSettings, placement: Placement) -> None:
        self._settings = settings
        self._placement = placement
        self._upscaler: Upscaler | None = None
        self._segmenter: Segmenter | None = None

    def enlarge(self, image: Image.Image, width: int, height: int) -> Image.Image:
        """An RGB picture at that size by super-resolution. Raises `ModelUnavailable`."""
        if self._upscaler is None:
            if not self._settings.upscaler:
                raise ModelUnavailable(name="upscaler", reason="none is configured (generation.upscaler)")
            self._upscaler = Upscaler.load(self._settings.upscaler, self._placement)
        return self._upscaler.enlarge(image, width, height)

    def find(self, image: Image.Image, words: str) -> Image.Image:
        """Where a picture shows what the words name (see `Segmenter`). Raises `NothingFound` or `ModelUnavailable`."""
        if self._segmenter is None:
            if not self._settings.segmenter:
                raise ModelUnavailable(name="segmenter", reason="none is configured (generation.segmenter)")
            self._segmenter = Segmenter.load(self._settings.segmenter, self._placement)
        return self._segmenter.find(image, words)
