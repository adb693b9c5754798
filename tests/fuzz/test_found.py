"""What fuzzing has found, one by one, so that it stays found."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.views.dialog import answers_of
from generation.intake.errors import UploadUnreadable
from generation.intake.intake import _read as read_child
from generation.loras import scan_loras
from generation.picture import read_parameters, read_recipe
from tests.fuzz.inputs import PICTURES


def lora_file(folder: Path, header: object) -> None:
    raw = json.dumps(header).encode()
    (folder / "a.safetensors").write_bytes(struct.pack("<Q", len(raw)) + raw + bytes(8))


@pytest.mark.parametrize("shape", [[float("inf")], [1.5], [-1], [True], "11", None, {"1": 1}])
def test_one_bad_lora_does_not_keep_the_bot_from_starting(tmp_path: Path, shape: object) -> None:
    tensor = {"dtype": "F32", "shape": shape, "data_offsets": [0, 8]}
    lora_file(tmp_path, {"x.lora_A.weight": tensor})
    found, refused = scan_loras([tmp_path])
    assert not found
    assert [error.fields["reason"] for error in refused] == ["its header is not that of a safetensors file"]


@pytest.mark.parametrize("offsets", [[0, float("inf")], [0, -8], [], [[8]], 8])
def test_neither_do_places_that_are_none(tmp_path: Path, offsets: object) -> None:
    lora_file(tmp_path, {"x.lora_A.weight": {"dtype": "F32", "shape": [2, 1], "data_offsets": offsets}})
    assert len(scan_loras([tmp_path])[1]) == 1


@pytest.mark.parametrize(
    "answer",
    [
        b'{"width": Infinity, "height": 8, "greys": [0, 255], "recipe": null, "parameters": null}',
        b'{"width": 8, "height": 8, "greys": [0, -Infinity], "recipe": null, "parameters": null}',
        b'{"width":' + b"[" * 100_000,
    ],
    ids=["width", "greys", "deep"],
)
def test_a_child_that_decodes_pictures_cannot_break_its_parent(answer: bytes) -> None:
    with pytest.raises(UploadUnreadable):
        read_child(answer + b"\n\x89PNG\r\n\x1a\n")


def test_metadata_that_pillow_warns_of_are_none() -> None:
    photographs = [data for data in PICTURES if b"MPF\0" in data]
    assert photographs
    for data in photographs:
        at = data.index(b"MPF\0") + 4
        broken = data[: at + 4] + b"\0\0\0\0" + data[at + 8 :]
        assert read_recipe(broken) is None
        assert read_parameters(broken) is None


@pytest.mark.parametrize(
    "components",
    [
        None,
        "prompt",
        [None, 5, [], {"component": None}, {"components": {"custom_id": "x"}}],
        [{"type": 19, "custom_id": "mask", "values": None}, {"type": 19, "custom_id": "mask", "values": ["9"]}],
        [{"type": 19, "custom_id": "mask", "values": [["5"]]}],
    ],
)
def test_a_form_that_discord_would_not_have_sent(components: object) -> None:
    data = {"components": components, "resolved": {"attachments": {"5": None}}}
    answers = answers_of(cast(Any, SimpleNamespace(data=data)))
    assert answers.texts["prompt"] == ""
    assert answers.links == {}
