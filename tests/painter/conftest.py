"""One tiny model and one painter for all tests of the painter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from generation.catalogue import ModelSpec
from generation.engine.settings import PainterSettings
from generation.painter.painter import Painter
from tests.painter.pocket_sdxl import POCKET
from tests.painter.tiny_sdxl import build_pipeline, spec_for


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """diffusers' schedulers hand tensors to numpy in a way that numpy 2 deprecates."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"))
            item.add_marker(pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Tests run side by side; torch's threads would only stand in each other's way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "model"
    build_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path) -> ModelSpec:
    return spec_for(tiny_folder)


@pytest.fixture(scope="session")
def painter(tiny: ModelSpec) -> Painter:
    """One painter for all tests: what one test leaves behind must not show in the next."""
    painter = Painter(PainterSettings(device="cpu"))
    painter.load(tiny)
    return painter


@pytest.fixture(scope="session")
def pocket() -> ModelSpec:
    return ModelSpec(
        name="pocket", source=str(POCKET / "weights"), native_size=128, num_inference_steps=20, cross_attention_dim=160
    )


@pytest.fixture(scope="session")
def artist(pocket: ModelSpec) -> Painter:
    """A painter with the embedded model. What one test leaves behind must not show in the next."""
    painter = Painter(PainterSettings(device="cpu"))
    painter.load(pocket)
    return painter
