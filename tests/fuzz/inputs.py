"""Strategies for what nobody types: half-right texts, JSON of the wrong shape, files with something changed in them."""

from __future__ import annotations

import io
import json
import math
import struct
import zlib
from typing import Any

from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from generation.picture import encode_png, reencode
from generation.recipe import Recipe
from tests.fuzz.target import WORDS

texts = st.lists(st.sampled_from(WORDS) | st.sampled_from(WORDS) | st.text(max_size=8), max_size=24).flatmap(
    lambda pieces: st.sampled_from(["", " "]).map(lambda between: between.join(pieces))
)
# JSON as Python reads it, with what its specification does not know: NaN, infinities, numbers of any size.
odd = st.sampled_from([math.inf, -math.inf, math.nan, -1, 0, -0.0, 2**31, 2**63, 10**30, True, "1", None])
scalars = st.none() | st.booleans() | st.integers() | odd | st.floats() | st.text(max_size=20) | st.sampled_from(WORDS)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
RECIPE = Recipe(
    prompt="a red boat", model="pocket", width=16, height=8, seed=7, num_inference_steps=20, guidance_scale=4.5
)


# JSON that stands in itself deeper than a reader may go.
deep = st.builds(lambda before: before + "[" * 3_000, st.sampled_from(["", '{"width":', '{"prompt":']))


def written(value: object) -> str:
    """As JSON; infinities and NaN as Python writes them."""
    return json.dumps(value)


@st.composite
def changed(draw: st.DrawFn, original: dict[str, Any]) -> dict[str, Any]:
    """A dictionary with some of its values replaced, left out or added, also further in."""
    result = dict(original)
    for key in draw(st.lists(st.sampled_from(sorted(original)), max_size=3, unique=True)):
        inner = result[key]
        if isinstance(inner, dict) and inner and draw(st.booleans()):
            result[key] = draw(changed(inner))
        elif isinstance(inner, list) and inner and draw(st.booleans()):
            at = draw(st.integers(0, len(inner) - 1))
            own = draw(changed(inner[at])) if isinstance(inner[at], dict) else draw(odd | values)
            result[key] = [*inner[:at], own, *inner[at + 1 :]]
        elif draw(st.integers(0, 3)) == 0:
            del result[key]
        else:
            result[key] = draw(odd | values)
    if draw(st.integers(0, 3)) == 0:
        result[draw(st.text(max_size=10))] = draw(values)
    return result


@st.composite
def mutated(draw: st.DrawFn, originals: tuple[bytes, ...]) -> bytes:
    """One of the files, cut off, with bytes changed, repeated, put in, or with a piece of another in it."""
    data = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        match draw(st.integers(0, 6)):
            case 0:
                del data[at:]
            case 1:
                data[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case 2:
                data[at : at + 4] = struct.pack(
                    ">I", draw(st.sampled_from([0, 1, 2**16, 2**31 - 1, 2**32 - 1, 50_000]))
                )
            case 3:
                data[at : at + 4] = struct.pack(
                    "<I", draw(st.sampled_from([0, 1, 2**16, 2**31 - 1, 2**32 - 1, 50_000]))
                )
            case 4:
                data[at:at] = draw(st.binary(max_size=40))
            case 5:
                data += data[at:] * draw(st.integers(1, 3))
            case _:
                other = draw(st.sampled_from(originals))
                data[at:] = other[min(at, len(other)) :]
    return bytes(data)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def _pictures() -> tuple[bytes, ...]:
    flat = Image.new("RGB", (16, 8), "teal")
    ours = encode_png(flat, RECIPE)
    text = PngInfo()
    text.add_text("parameters", "a castle\nNegative prompt: fog\nSteps: 20, Sampler: Euler, Seed: 5", zip=True)
    text.add_itxt("limner", RECIPE.to_json(), zip=True)
    frames = [flat, Image.new("RGB", (16, 8), "red")]
    turned = Image.Exif()
    turned[0x0112] = 6
    return (
        ours,
        reencode(ours, "WEBP", 80),
        reencode(ours, "JPEG", 80),
        saved(flat, "PNG", pnginfo=text),
        saved(flat, "JPEG", exif=turned, comment=b"a comment", icc_profile=b"no profile"),
        saved(flat.convert("P"), "PNG", transparency=0),
        saved(flat.convert("I;16"), "PNG"),
        saved(flat.convert("RGBA"), "WEBP", lossless=True),
        saved(flat.convert("CMYK"), "JPEG"),
        saved(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        saved(flat, "MPO", save_all=True, append_images=frames[1:]),
        saved(flat, "GIF"),
        saved(flat, "TIFF"),
        # A web page, a PDF and an archive that begin as pictures, and the other way round.
        ours + b"<script>alert(1)</script>",
        b"%PDF-1.7\n" + ours,
        b"PK\x03\x04" + reencode(ours, "JPEG", 80),
        reencode(ours, "JPEG", 80)[:-2] + b"PK\x05\x06" + bytes(18),
        # Metadata that unpack to far more than they are.
        ours[:33] + png_chunk(b"zTXt", b"limner\0\0" + zlib.compress(bytes(3_000_000))) + ours[33:],
        ours[:33] + png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(3_000_000))) + ours[33:],
        ours[:33] + png_chunk(b"tEXt", b"limner\0" + b"[" * 100_000) + ours[33:],
        ours[:33] + b"".join(png_chunk(b"tEXt", b"k%d\0v" % number) for number in range(300)) + ours[33:],
    )


PICTURES = _pictures()


def _safetensors() -> tuple[bytes, ...]:
    down = {"dtype": "F32", "shape": [4, 160], "data_offsets": [0, 8]}
    name = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k"
    lora = {"__metadata__": {"modelspec.title": "Neon"}, f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": down}
    vectors = {"clip_l": {**down, "shape": [2, 64]}, "clip_g": {**down, "shape": [2, 96]}}
    files = []
    for header in (lora, vectors, {}, {"__metadata__": {}}):
        raw = json.dumps(header).encode()
        files.append(struct.pack("<Q", len(raw)) + raw + bytes(8))
    return tuple(files)


SAFETENSORS = _safetensors()
