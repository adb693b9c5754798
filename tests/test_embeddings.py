"""Textual inversion files are judged by their headers: what they are called, and why the others are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from generation.catalogue import EmbeddingSpec, ModelSpec
from generation.embeddings import check_embedding, read_embedding, scan_embeddings
from generation.errors import EmbeddingRefused
from tests.test_loras import save

SDXL = ModelSpec(name="sdxl", source="stabilityai/stable-diffusion-xl-base-1.0")
SHAPES = {"clip_l": (2, 768), "clip_g": (2, 1280)}


def test_a_file_in_the_form_of_sdxl(tmp_path: Path) -> None:
    path = save(tmp_path / "Bad Hands v2.safetensors", SHAPES)
    embedding = read_embedding(path)
    assert embedding == EmbeddingSpec(name="bad_hands_v2", path=path, dims=(768, 1280))
    check_embedding(embedding, SDXL)


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"emb_params": (1, 768)}, "Stable Diffusion 1.x"),
        ({"emb_params": (4, 1024)}, "Stable Diffusion 2.x"),
        ({"clip_l": (1, 768)}, "Stable Diffusion 1.x"),
        ({"weight": (1, 5)}, "not a textual inversion"),
        ({**SHAPES, "unet": (1, 1)}, "not a textual inversion"),
        ({"clip_l": (1, 768), "clip_g": (2, 1280)}, "as many vectors"),
        ({"clip_l": (0, 768), "clip_g": (0, 1280)}, "0 vectors"),
        ({"clip_l": (76, 768), "clip_g": (76, 1280)}, "76 vectors"),
    ],
)
def test_others_are_refused_with_a_reason(tmp_path: Path, shapes: dict[str, tuple[int, ...]], words: str) -> None:
    with pytest.raises(EmbeddingRefused) as caught:
        read_embedding(save(tmp_path / "x.safetensors", shapes))
    assert words in str(caught.value.fields["reason"])


def test_a_folder_with_all_sorts_of_files(tmp_path: Path) -> None:
    good = save(tmp_path / "good.safetensors", SHAPES)
    save(tmp_path / "GOOD.safetensors", SHAPES)
    (tmp_path / "bad.safetensors").write_bytes(b"not at all")
    (tmp_path / "picture.png").write_bytes(b"")
    found, refused = scan_embeddings([tmp_path, tmp_path / "missing"])
    assert set(found) == {"good"}
    assert {error.fields["name"] for error in refused} == {"good", "bad"}
    assert found["good"].path in (good, tmp_path / "GOOD.safetensors")


def test_the_width_must_be_the_models(tmp_path: Path) -> None:
    embedding = read_embedding(save(tmp_path / "x.safetensors", {"clip_l": (1, 64), "clip_g": (1, 96)}))
    check_embedding(embedding, ModelSpec(name="pocket", source="pocket", cross_attention_dim=160))
    with pytest.raises(EmbeddingRefused) as caught:
        check_embedding(embedding, SDXL)
    assert caught.value.fields["model"] == "sdxl"
