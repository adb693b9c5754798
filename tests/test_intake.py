"""Uploaded pictures: what is taken comes out plain, what is not gets its reason, and nothing that is made up hurts."""

from __future__ import annotations

import asyncio
import io
import os
import resource
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageChops, ImageCms, ImageDraw, ImageFile

from generation.errors import RequestRejected
from generation.intake import intake as parent
from generation.intake.errors import (
    UploadAnimated,
    UploadTooLarge,
    UploadTooManyPixels,
    UploadUnreadable,
    UploadWrongType,
)
from generation.intake.intake import Intake, Upload
from generation.intake.limits import KEPT_PIXELS, MEGA, IntakeLimits
from generation.intake.normalise import normalise
from generation.picture import encode_png
from generation.recipe import Recipe

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
# What a busy machine makes slow is not refused for it: the reason has to be another one.
PATIENT = IntakeLimits(seconds=300.0)
RECIPE = Recipe(
    prompt="a red boat", model="pocket", width=48, height=32, seed=7, num_inference_steps=20, guidance_scale=4.5
)


def flag(size: tuple[int, int] = (48, 32)) -> Image.Image:
    """Red on the left, blue on the right, a green corner at the top left: no turn of it looks the same."""
    picture = Image.new("RGB", size, RED)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((size[0] // 2, 0, *size), BLUE)
    draw.rectangle((0, 0, size[0] // 6, size[1] // 4), GREEN)
    return picture


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def opened(upload: Upload) -> Image.Image:
    picture = Image.open(io.BytesIO(upload.png))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (upload.width, upload.height))
    return picture


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few hundred bytes whose header claims that many pixels."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress(bytes(100_000)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + png_chunk(b"IEND", b"")


def webp_claiming(width: int, height: int) -> bytes:
    canvas = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    chunk = b"VP8X" + struct.pack("<I", 10) + bytes(4) + canvas
    body = b"WEBP" + chunk + b"VP8L" + struct.pack("<I", 6) + b"\x2f" + bytes(5)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(saved(flag(), "JPEG"))
    at = data.index(b"\xff\xc0") + 5  # of the frame's header (SOF0): height, then width
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


async def refused(data: bytes, kind: type[RequestRejected], limits: IntakeLimits = PATIENT) -> RequestRejected:
    with pytest.raises(kind) as raised:
        await Intake(limits).take_in(data)
    return raised.value


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
async def test_a_picture_comes_out_as_a_plain_png(form: str) -> None:
    lossy = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(form, {})
    upload = await Intake(PATIENT).take_in(saved(flag(), form, **lossy))
    difference = ImageChops.difference(opened(upload), flag())
    assert max(high for _, high in difference.getextrema()) <= (0 if form != "JPEG" else 80)
    assert upload.recipe is None


@pytest.mark.parametrize("greys", [(0, 255), (0, 0), (255, 255), (3, 130)])
async def test_what_a_mask_is_checked_by_is_told(greys: tuple[int, int]) -> None:
    mask = Image.new("L", (48, 32), greys[0])
    mask.paste(greys[1], (0, 0, 1, 1))
    assert (await Intake(PATIENT).take_in(saved(mask, "PNG"))).greys == greys


async def test_metadata_goes_but_a_recipe_of_ours_is_handed_over() -> None:
    upload = await Intake(PATIENT).take_in(encode_png(flag(), RECIPE))
    assert upload.recipe == RECIPE
    assert upload.parameters is not None
    assert upload.parameters.settings["Seed"] == str(RECIPE.seed)
    assert opened(upload).info == {}

    exif = Image.Exif()
    exif[ExifTags.Base.Artist] = "a secret name"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
    upload = await Intake(PATIENT).take_in(saved(flag(), "JPEG", exif=exif, comment=b"a secret name"))
    assert b"secret" not in upload.png
    assert opened(upload).info == {}


@pytest.mark.parametrize(("form", "orientation"), [*(("JPEG", turn) for turn in range(1, 9)), ("PNG", 6), ("WEBP", 6)])
async def test_a_photograph_stands_upright(form: str, orientation: int) -> None:
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    lying = flag() if orientation == 1 else flag().transpose(turns[orientation])  # as the sensor saw it
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(form, {})
    picture = opened(await Intake(PATIENT).take_in(saved(lying, form, exif=exif, **options)))
    assert picture.size == (48, 32)
    for place, colour in (((2, 2), GREEN), ((10, 28), RED), ((40, 16), BLUE)):
        assert all(abs(a - b) < 60 for a, b in zip(picture.getpixel(place), colour, strict=True))


async def test_transparency_becomes_white() -> None:
    glass = Image.new("RGBA", (16, 16), (255, 0, 0, 0))
    glass.paste((255, 0, 0, 128), (0, 0, 8, 16))
    picture = opened(await Intake(PATIENT).take_in(saved(glass, "PNG")))
    assert picture.getpixel((12, 8)) == WHITE
    assert picture.getpixel((2, 8)) == (255, 127, 127)

    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([*RED, *BLUE])
    palette.paste(0, (0, 0, 8, 16))
    picture = opened(await Intake(PATIENT).take_in(saved(palette, "PNG", transparency=1)))
    assert picture.getpixel((2, 8)) == RED
    assert picture.getpixel((12, 8)) == WHITE


async def test_sixteen_bits_become_eight_and_are_not_cut_off() -> None:
    ramp = Image.new("I;16", (256, 4))
    for x in range(256):
        for y in range(4):
            ramp.putpixel((x, y), x * 257)
    picture = opened(await Intake(PATIENT).take_in(saved(ramp, "PNG")))
    assert [picture.getpixel((x, 2))[0] for x in (0, 1, 64, 128, 255)] == [0, 1, 64, 128, 255]


async def test_sixteen_bits_in_three_channels() -> None:
    row = b"\0" + struct.pack(">HHH", 0xFFFF, 0x8080, 0) * 8
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(row * 8)) + png_chunk(b"IEND", b"")
    assert opened(await Intake(PATIENT).take_in(data)).getpixel((4, 4)) == (255, 128, 0)


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "P", "LA", "PA"])
async def test_other_modes_become_rgb(mode: str) -> None:
    grey = mode in ("L", "1", "LA")
    source = Image.new("RGB", (16, 16), WHITE if grey else RED).convert(mode)
    form = "JPEG" if mode == "CMYK" else "PNG"
    if mode == "PA":
        source, form = Image.new("RGBA", (16, 16), (*RED, 255)), "WEBP"
    picture = opened(await Intake(PATIENT).take_in(saved(source, form)))
    assert all(abs(a - b) < 12 for a, b in zip(picture.getpixel((8, 8)), WHITE if grey else RED, strict=True))


async def test_a_colour_profile_is_applied_and_a_broken_one_does_no_harm() -> None:
    grey = Image.new("RGB", (16, 16), (120, 120, 120))
    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    for profile in (b"broken", linear):
        picture = opened(await Intake(PATIENT).take_in(saved(grey, "PNG", icc_profile=profile)))
        assert picture.size == grey.size
    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = opened(await Intake(PATIENT).take_in(saved(grey, "PNG", icc_profile=same)))
    assert abs(picture.getpixel((8, 8))[0] - 120) <= 1


async def test_more_than_is_ever_drawn_is_scaled_down() -> None:
    upload = await Intake(PATIENT).take_in(saved(Image.new("RGB", (6000, 4000), RED), "PNG"))
    assert upload.width * upload.height <= KEPT_PIXELS
    assert upload.width / upload.height == pytest.approx(1.5, abs=0.002)
    assert opened(upload).getpixel((100, 100)) == RED


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a picture",
        b"<html><img src=x onerror=alert(1)></html>",
        b"%PDF-1.7 " + bytes(100),
        b"PK\x03\x04" + bytes(100),
        b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        saved(flag(), "GIF"),
        saved(flag(), "BMP"),
        saved(flag(), "TIFF"),
        saved(flag(), "ICO"),
        saved(flag(), "AVIF"),
        saved(flag(), "EPS"),
        b"RIFF" + struct.pack("<I", 100) + b"WAVE" + bytes(100),
    ],
    ids=lambda data: repr(data[:8]),
)
async def test_another_type_is_named_as_such(data: bytes) -> None:
    await refused(data, UploadWrongType)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
async def test_what_is_cut_off_is_not_taken(form: str, share: float) -> None:
    noise = Image.frombytes("RGB", (64, 64), os.urandom(64 * 64 * 3))
    data = saved(noise, form)
    await refused(data[: int(len(data) * share)], UploadUnreadable)


async def test_what_moves_is_not_taken() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    for form in ("PNG", "WEBP"):
        await refused(saved(frames[0], form, save_all=True, append_images=frames[1:], duration=90), UploadAnimated)
    await refused(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]), UploadWrongType)


async def test_a_photograph_with_a_second_picture_inside_is_its_first() -> None:
    data = saved(flag(), "MPO", save_all=True, append_images=[Image.new("RGB", (48, 32), GREEN)], quality=95)
    assert opened(await Intake(PATIENT).take_in(data)).getpixel((40, 16))[2] > 200


def decoded(*_: object) -> None:
    raise AssertionError("it was decoded")


@pytest.mark.parametrize("claiming", [png_claiming, webp_claiming, jpeg_claiming])
async def test_a_bomb_is_refused_by_what_it_claims_before_it_is_decoded(
    claiming: Callable[[int, int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    side = 50_000 if claiming is not webp_claiming else 16_383
    bomb = claiming(side, side)
    error = await refused(bomb, UploadTooManyPixels)
    assert error.fields == {"limit": 50}
    with monkeypatch.context() as here:
        here.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)  # so that it is set back
        here.setattr(ImageFile.ImageFile, "load", decoded)
        with pytest.raises(UploadTooManyPixels):
            normalise(bomb, max_pixels=PATIENT.pixels)
    # And exactly from the limit on, not from where Pillow would do so by itself.
    await refused(claiming(10_000, 6_000), UploadTooManyPixels)


async def test_a_bomb_among_the_metadata_is_not_unpacked() -> None:
    bomb = png_chunk(b"zTXt", b"limner\0\0" + zlib.compress(bytes(300 * MEGA)))
    data = saved(flag(), "PNG")
    at = data.index(b"IDAT") - 4
    await refused(data[:at] + bomb + data[at:], UploadUnreadable)


async def test_a_picture_that_is_something_else_as_well_is_only_the_picture() -> None:
    evil = b"PK\x03\x04<script>alert(1)</script>"
    upload = await Intake(PATIENT).take_in(saved(flag(), "PNG") + evil)
    assert evil not in upload.png
    assert ImageChops.difference(opened(upload), flag()).getbbox() is None


async def test_too_many_bytes_are_not_even_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> bytes:
        raise AssertionError("a child was started")

    monkeypatch.setattr(parent, "_ask_child", never)
    error = await refused(bytes(MEGA + 1), UploadTooLarge, IntakeLimits(megabytes=1))
    assert error.fields == {"limit": 1}


async def test_pixels_are_limited_as_configured() -> None:
    limits = replace(PATIENT, pixels=MEGA)
    await refused(saved(Image.new("RGB", (1001, 1000)), "PNG"), UploadTooManyPixels, limits)
    assert (await Intake(limits).take_in(saved(Image.new("RGB", (1000, 1000)), "PNG"))).width == 1000


async def test_who_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    real = subprocess.run

    def for_minutes(command: list[str], **options: object) -> object:
        return real([sys.executable, "-c", "import time; time.sleep(300)"], **options)

    monkeypatch.setattr(parent.subprocess, "run", for_minutes)
    async with asyncio.timeout(120):
        await refused(saved(flag(), "PNG"), UploadUnreadable, IntakeLimits(seconds=0.01))


async def test_the_memory_limit_covers_the_worst_picture() -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    glass = saved(Image.new("RGBA", (2000, 2000), (255, 0, 0, 9)), "PNG", exif=turned)
    limits = replace(PATIENT, pixels=4 * MEGA)
    assert (await Intake(limits).take_in(glass)).width == 2000


@pytest.mark.parametrize(("share", "succeeds"), [(0.5, True), (1, False)])
def test_the_memory_limit_holds(share: float, succeeds: bool) -> None:
    limit = IntakeLimits(pixels=4 * MEGA).memory_bytes
    child = (
        f"from generation.intake.__main__ import _confine; _confine({limit}, 5, 1000); bytearray({int(limit * share)})"
    )
    ended = subprocess.run([sys.executable, "-c", child], capture_output=True, cwd=parent.ROOT)
    assert (ended.returncode == 0) is succeeds


def test_the_child_cannot_raise_its_limits_or_write_more_than_it_may() -> None:
    child = (
        "import resource, sys; from generation.intake.__main__ import _confine; _confine(10**9, 5, 1000)\n"
        "print([resource.getrlimit(getattr(resource, name)) for name in "
        "('RLIMIT_AS', 'RLIMIT_CPU', 'RLIMIT_FSIZE', 'RLIMIT_CORE', 'RLIMIT_NPROC')])"
    )
    ended = subprocess.run([sys.executable, "-c", child], capture_output=True, cwd=parent.ROOT, text=True)
    assert ended.stdout.strip() == str([(10**9,) * 2, (5, 5), (1000, 1000), (0, 0), (0, 0)])
    assert resource.getrlimit(resource.RLIMIT_AS)[1] != 10**9  # it was its own


async def test_the_child_inherits_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, object]] = []
    real = subprocess.run

    def watched(command: list[str], **options: object) -> object:
        seen.append(options)
        look_around = "import os; print(dict(os.environ), os.listdir('/proc/self/fd'))"
        return real([sys.executable, "-c", look_around], **options)

    monkeypatch.setattr(parent.subprocess, "run", watched)
    monkeypatch.setenv("DISCORD_TOKEN", "secret")
    answer = parent._ask_child(b"", PATIENT)
    assert b"secret" not in answer
    assert b"DISCORD_TOKEN" not in answer
    assert len(eval(answer.split(b"}", 1)[1])) <= 4  # its three, and the one that lists them


async def test_a_child_that_lies_is_not_believed() -> None:
    png = saved(flag(), "PNG")
    for answer in (
        b"",
        b"\n" + png,
        b"[]\n" + png,
        b'{"refused": "out_of_credits", "fields": {}}\n',
        b'{"width": 1, "height": 1, "recipe": {"version": 1, "prompt": 3}}\n' + png,
        b'{"width": 1, "height": 1, "recipe": null, "parameters": {"prompt": "a"}}\n' + png,
        b'{"width": 1, "height": 1, "greys": [0], "recipe": null, "parameters": null}\n' + png,
        b'{"width": -1, "height": 1, "greys": [0, 9], "recipe": null, "parameters": null}\n' + png,
        b'{"width": 1, "height": 1, "greys": [0, 9], "recipe": null, "parameters": null}\nGIF89a',
    ):
        with pytest.raises(UploadUnreadable):
            parent._read(answer)


async def test_many_at_once_are_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most = 0, 0
    real = parent._ask_child

    def counted(data: bytes, limits: IntakeLimits) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return real(data, limits)
        finally:
            running -= 1

    monkeypatch.setattr(parent, "_ask_child", counted)
    intake, data = Intake(PATIENT), saved(flag(), "PNG")
    uploads = await asyncio.gather(*(intake.take_in(data) for _ in range(5)))
    assert most <= parent.AT_ONCE
    assert len({upload.png for upload in uploads}) == 1


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_whatever_is_broken_in_a_file_it_is_taken_or_refused(data: st.DataObject) -> None:
    form = data.draw(st.sampled_from(["PNG", "JPEG", "WEBP"]))
    file = bytearray(saved(flag(), form))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        upload = asyncio.run(Intake(PATIENT).take_in(bytes(file)))
    except RequestRejected:
        return
    opened(upload).load()
