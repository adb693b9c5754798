"""What can be drawn with is read once more while the program runs, and everybody sees the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bot.catalogue import CatalogueReader, Difference, build_catalogue
from bot.config import PROGRAM_FOLDER, Config, load_config
from generation.errors import UnknownName
from generation.styles import StylesInvalid

POCKET_LORAS = PROGRAM_FOLDER / "generation" / "pocket" / "loras"
INK = '[ink]\ntemplate = "ink drawing of {prompt}"\ndescription = "Ink"\n'


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "loras").mkdir()
    (tmp_path / "styles.toml").write_text(INK)
    (tmp_path / "config.toml").write_text('[generation]\nlora_folders = ["loras"]\nstyles = "styles.toml"')
    return load_config(tmp_path / "config.toml")


async def test_whoever_holds_the_catalogue_finds_what_came_and_misses_what_went(config: Config, tmp_path: Path) -> None:
    catalogue = build_catalogue(config)
    assert catalogue.model("pocket").draft is None  # its LoRA is not there
    for name in ("neon", "pocket-lcm"):
        shutil.copy(POCKET_LORAS / f"{name}.safetensors", tmp_path / "loras")
    (tmp_path / "loras" / "broken.safetensors").write_bytes(b"not at all")
    fog = '[fog]\ntemplate = "{prompt} in fog"\ndescription = "Fog"\nloras = { neon = 0.5 }\n'
    (tmp_path / "styles.toml").write_text(fog)

    reloaded = await CatalogueReader(config).reload(catalogue)

    assert reloaded.differences["styles"] == Difference(added=("fog",), removed=("ink",), changed=())
    assert reloaded.differences["loras"] == Difference(added=("neon", "pocket-lcm"), removed=(), changed=())
    assert [error.fields["name"] for error in reloaded.refused] == ["broken"]
    assert catalogue.style("fog").loras[0].name == "neon"
    assert catalogue.model("pocket").draft is not None
    with pytest.raises(UnknownName):
        catalogue.style("ink")


async def test_what_is_worded_anew_is_said_to_have_changed(config: Config, tmp_path: Path) -> None:
    catalogue = build_catalogue(config)
    (tmp_path / "styles.toml").write_text(INK.replace("ink drawing", "pen drawing"))
    reloaded = await CatalogueReader(config).reload(catalogue)
    assert reloaded.differences["styles"].changed == ("ink",)
    assert catalogue.style("ink").template == "pen drawing of {prompt}"


@pytest.mark.parametrize("mistake", ["[ink]", INK + "loras = { gone = 1.0 }", "not TOML"])
async def test_a_mistake_in_the_styles_leaves_everything_as_it_was(
    config: Config, tmp_path: Path, mistake: str
) -> None:
    catalogue = build_catalogue(config)
    shutil.copy(POCKET_LORAS / "neon.safetensors", tmp_path / "loras")
    (tmp_path / "styles.toml").write_text(mistake)
    with pytest.raises(StylesInvalid):
        await CatalogueReader(config).reload(catalogue)
    assert catalogue == build_catalogue_of(config, tmp_path)


def build_catalogue_of(config: Config, folder: Path) -> object:
    """As the files were."""
    (folder / "styles.toml").write_text(INK)
    (folder / "loras" / "neon.safetensors").unlink()
    return build_catalogue(config)
