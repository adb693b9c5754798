"""Files that nobody means well with, through the process that decodes them: taken plain or refused, never a crash."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from generation.errors import RequestRejected
from generation.intake.intake import Intake
from generation.intake.limits import IntakeLimits
from tests.fuzz.inputs import PICTURES

PATIENT = IntakeLimits(seconds=300.0)  # a busy machine shall not be why one is refused
HOSTILE = PICTURES[-8:]  # those that are something else too, or hold far more than they seem to


@pytest.mark.parametrize("data", [*HOSTILE, HOSTILE[0][:60], HOSTILE[3][:-40]], ids=range(len(HOSTILE) + 2))
async def test_it_is_taken_plain_or_refused(data: bytes) -> None:
    try:
        upload = await Intake(PATIENT).take_in(data)
    except RequestRejected:
        return
    with Image.open(io.BytesIO(upload.png)) as plain:
        assert (plain.format, plain.mode, plain.info) == ("PNG", "RGB", {})
        assert plain.size == (upload.width, upload.height) == (16, 8)
    assert b"script" not in upload.png
    assert not upload.png.startswith((b"%PDF", b"PK"))
