"""The small networks beside a model that prepare what it starts from, each loaded when it is first needed."""

from __future__ import annotations

from PIL import Image

from generation.engine.settings import PainterSettings
from generation.errors import ModelUnavailable
from generation.painter.devices import Placement
from generation.painter.super_resolution import Upscaler


class Aids:
    """What a painter's settings name. Not thread-safe."""

    def __init__(self, settings: PainterSettings, placement: Placement) -> None:
        self._settings = settings
        self._placement = placement
        self._upscaler: Upscaler | None = None

    def enlarge(self, image: Image.Image, width: int, height: int) -> Image.Image:
        """An RGB picture at that size by super-resolution. Raises `ModelUnavailable`."""
        if self._upscaler is None:
            if not self._settings.upscaler:
                raise ModelUnavailable(name="upscaler", reason="none is configured (generation.upscaler)")
            self._upscaler = Upscaler.load(self._settings.upscaler, self._placement)
        return self._upscaler.enlarge(image, width, height)
