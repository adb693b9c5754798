"""LoRA files are judged by their headers: what they are called, what they fit, and why the others are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.catalogue import LoraSpec, ModelSpec
from generation.errors import LoraRefused
from generation.loras import check_lora, read_lora, scan_loras
from generation.safetensors_header import MAX_HEADER_BYTES, MalformedHeader, read_header

SDXL = ModelSpec(name="sdxl", source="stabilityai/stable-diffusion-xl-base-1.0")
POCKET = ModelSpec(name="pocket", source="generation/pocket/weights", native_size=128, cross_attention_dim=160)

# One name for each way of saving a LoRA that people have.
TO_K = {
    "peft": "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight",
    "peft with an adapter's name": "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_v.lora_A.default.weight",
    "diffusers 0.17": "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight",
    "diffusers 0.21": "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.lora.down.weight",
    "kohya": "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight",
    "kohya, original blocks": "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_v.lora_down.weight",
}
OTHER_LAYER = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k.lora_A.weight"


def save(path: Path, shapes: dict[str, tuple[int, ...]], metadata: dict[str, str] | None = None) -> Path:
    """A safetensors file of float16 zeros."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * int.__mul__(*shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(end))
    return path


def reason(path: Path) -> str:
    with pytest.raises(LoraRefused) as caught:
        read_lora(path)
    return str(caught.value.fields["reason"])


class TestRead:
    @pytest.mark.parametrize("tensor", TO_K.values(), ids=TO_K.keys())
    def test_the_width_of_the_text_embeddings(self, tmp_path: Path, tensor: str) -> None:
        path = save(tmp_path / "neon.safetensors", {OTHER_LAYER: (4, 640), tensor: (4, 2048)})
        assert read_lora(path) == LoraSpec(name="neon", path=path, cross_attention_dim=2048)

    def test_the_other_matrix_does_not_count(self, tmp_path: Path) -> None:
        shapes = {TO_K["peft"].replace("lora_A", "lora_B"): (640, 4), TO_K["peft"]: (4, 768)}
        assert read_lora(save(tmp_path / "x.safetensors", shapes)).cross_attention_dim == 768

    @pytest.mark.parametrize(
        ("metadata", "expected"),
        [
            ({}, None),
            ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, 2048),
            ({"modelspec.architecture": "stable-diffusion-v1/lora"}, 768),
            ({"ss_base_model_version": "sdxl_base_v1-0"}, 2048),
            ({"ss_base_model_version": "sd_v1"}, 768),
            ({"ss_base_model_version": "sd_v2_768_v"}, 1024),
        ],
    )
    def test_else_what_its_trainer_noted(self, tmp_path: Path, metadata: dict[str, str], expected: int | None) -> None:
        path = save(tmp_path / "x.safetensors", {OTHER_LAYER: (4, 640)}, metadata)
        assert read_lora(path).cross_attention_dim == expected

    def test_trigger_and_title(self, tmp_path: Path) -> None:
        metadata = {"modelspec.trigger_phrase": "  neon\n style ", "modelspec.title": "Neon " + "x" * 500}
        lora = read_lora(save(tmp_path / "x.safetensors", {TO_K["peft"]: (4, 160)}, metadata))
        assert lora.trigger == "neon style"
        assert len(lora.title) == 100

    @pytest.mark.parametrize(
        ("file", "name"),
        [
            ("neon", "neon"),
            ("Neon Signs v1.2", "neon_signs_v1_2"),
            ("pixel-art_XL", "pixel-art_xl"),
            ("(neu) Süß!", "neu_s"),
            ("-x-", "x"),
        ],
    )
    def test_its_name_can_be_typed(self, tmp_path: Path, file: str, name: str) -> None:
        assert read_lora(save(tmp_path / f"{file}.safetensors", {TO_K["peft"]: (4, 160)})).name == name


class TestRefused:
    @pytest.mark.parametrize(
        ("shapes", "expected"),
        [
            ({"model.diffusion_model.out.2.weight": (4, 4)}, "it is not a LoRA"),
            ({}, "it is not a LoRA"),
            ({"lora_unet_x.hada_w1_a": (4, 4)}, "it is a LoHa, not a plain LoRA"),
            ({"lora_unet_x.lokr_w1": (4, 4)}, "it is a LoKr, not a plain LoRA"),
            ({"lora_unet_x.lora_down.weight": (4, 4), "lora_unet_x.dora_scale": (4, 1)}, "it is a DoRA"),
            ({"transformer.x.lora_A.weight": (4, 4)}, "without a UNet"),
            ({"lora_unet_double_blocks_0_img.lora_down.weight": (4, 4)}, "without a UNet"),
        ],
    )
    def test_what_is_no_lora_of_a_unet(self, tmp_path: Path, shapes: dict[str, tuple[int, ...]], expected: str) -> None:
        assert expected in reason(save(tmp_path / "x.safetensors", shapes))

    def test_a_pickle(self, tmp_path: Path) -> None:
        path = tmp_path / "old.pt"
        path.write_bytes(b"never opened")
        assert "can run code" in reason(path)

    def test_nameless(self, tmp_path: Path) -> None:
        assert "file name" in reason(save(tmp_path / "___.safetensors", {TO_K["peft"]: (4, 160)}))

    def test_gone(self, tmp_path: Path) -> None:
        assert reason(tmp_path / "gone.safetensors") == "its file cannot be read: No such file or directory"


class TestHeader:
    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (b"", "cut off"),
            (b"\1\2\3", "cut off"),
            (bytes(8), "cut off"),
            (bytes(100), "cut off"),
            (b"\xff" * 100, "cut off"),
            ((1000).to_bytes(8, "little") + b"{}", "cut off"),
            ((2).to_bytes(8, "little") + b"[]", "header"),
            ((2).to_bytes(8, "little") + b"{]", "header"),
            ((9).to_bytes(8, "little") + b'{"a":1}  ', "header"),
            ((15).to_bytes(8, "little") + b'{"a":{"shape"}}', "header"),
            ((22).to_bytes(8, "little") + b'{"a":{"shape":[1,"x"]}', "header"),
            ((20).to_bytes(8, "little") + b'{"__metadata__":[1]}', "header"),
            ((40_000).to_bytes(8, "little") + b"[" * 40_000, "header"),
        ],
    )
    def test_what_is_malformed_is_told(self, tmp_path: Path, data: bytes, expected: str) -> None:
        path = tmp_path / "x.safetensors"
        path.write_bytes(data)
        with pytest.raises(MalformedHeader, match=expected):
            read_header(path)
        assert expected in reason(path)

    def test_a_header_that_would_fill_the_memory(self, tmp_path: Path) -> None:
        path = tmp_path / "x.safetensors"
        with path.open("wb") as file:
            file.write((MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
            file.truncate(MAX_HEADER_BYTES + 100)  # a hole: nothing is written
        assert "larger than 16 MiB" in reason(path)

    def test_a_download_that_broke_off(self, tmp_path: Path) -> None:
        path = save(tmp_path / "x.safetensors", {TO_K["peft"]: (4, 2048)})
        path.write_bytes(path.read_bytes()[:-1])
        assert "cut off" in reason(path)

    @given(st.binary(max_size=300))
    def test_no_bytes_are_too_strange(self, tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
        path = tmp_path_factory.getbasetemp() / "strange.safetensors"
        path.write_bytes(data)
        with pytest.raises(MalformedHeader):
            read_header(path)


class TestScan:
    def test_bad_files_are_told_and_the_others_are_there(self, tmp_path: Path) -> None:
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()
        good = save(tmp_path / "one" / "Neon.safetensors", {TO_K["peft"]: (4, 160)})
        (tmp_path / "one" / "broken.safetensors").write_bytes(b"nonsense")
        save(tmp_path / "two" / "neon.safetensors", {TO_K["kohya"]: (4, 2048)})
        ink = save(tmp_path / "two" / "ink.safetensors", {TO_K["kohya"]: (4, 160)})
        (tmp_path / "two" / "readme.md").write_text("about them")

        found, refused = scan_loras([tmp_path / "one", tmp_path / "nowhere", tmp_path / "two"])

        assert {name: lora.path for name, lora in found.items()} == {"neon": good, "ink": ink}
        assert [error.fields["name"] for error in refused] == ["broken", "neon"]
        assert str(good) in str(refused[1].fields["reason"])

    def test_no_folders_no_loras(self) -> None:
        assert scan_loras([]) == ({}, [])


class TestFits:
    @pytest.mark.parametrize(
        ("dim", "model", "expected"),
        [
            (2048, SDXL, None),
            (160, POCKET, None),
            (None, SDXL, None),
            (768, SDXL, "it was made for Stable Diffusion 1.x, the model is SDXL"),
            (1024, SDXL, "it was made for Stable Diffusion 2.x, the model is SDXL"),
            (160, SDXL, "it was made for one with text embeddings of width 160, the model is SDXL"),
            (2048, POCKET, "it was made for SDXL, the model is one with text embeddings of width 160"),
        ],
    )
    def test_only_what_was_made_for_the_architecture(
        self, dim: int | None, model: ModelSpec, expected: str | None
    ) -> None:
        lora = LoraSpec(name="neon", path=Path("neon.safetensors"), cross_attention_dim=dim)
        if expected is None:
            check_lora(lora, model)
            return
        with pytest.raises(LoraRefused) as caught:
            check_lora(lora, model)
        assert caught.value.fields == {"name": "neon", "model": model.name, "reason": expected}
