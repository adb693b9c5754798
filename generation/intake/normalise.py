"""One uploaded picture → what every other part may rely on: upright, RGB, 8 bits, no metadata. Runs in the child."""

from __future__ import annotations

import io
import math

from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from generation.intake.errors import UploadAnimated, UploadTooManyPixels, UploadWrongType
from generation.intake.limits import KEPT_PIXELS, MEGA
from generation.picture import READABLE_FORMATS

# Photographs of many phones are several JPEGs in one file, of which the first is the picture (CIPA DC-007).
MULTI_PICTURE = "MPO"
# zlib's. Of a photograph of 17 megapixels it takes 1 second where the usual 6 takes 5, for a file of the same size.
COMPRESS_LEVEL = 2
SIXTEEN_BITS = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def normalise(data: bytes, *, max_pixels: int) -> Image.Image:
    """The picture in RGB, upright, alpha on white, of at most `KEPT_PIXELS` pixels.

    How many pixels it claims to have is looked at before any is decoded. Raises `UploadWrongType`, `UploadAnimated`,
    `UploadTooManyPixels`, and whatever Pillow raises for a file that is broken.
    """
    # Pillow refuses what has more than twice this, and before it makes WebP's decoder, which takes its memory at once.
    Image.MAX_IMAGE_PIXELS = max_pixels // 2
    try:
        opened = Image.open(io.BytesIO(data), formats=READABLE_FORMATS)
    except UnidentifiedImageError as error:
        if _claims_to_be_readable(data):
            raise
        raise UploadWrongType from error
    except Image.DecompressionBombError as error:
        raise UploadTooManyPixels(limit=max_pixels // MEGA) from error
    with opened as picture:
        if picture.format != MULTI_PICTURE and getattr(picture, "is_animated", False):
            raise UploadAnimated
        picture.load()
        return _reduced(_in_rgb(ImageOps.exif_transpose(picture)))


def png_of(picture: Image.Image) -> bytes:
    """As a PNG that holds pixels and nothing else."""
    bare = Image.new(picture.mode, picture.size)
    bare.paste(picture)
    file = io.BytesIO()
    bare.save(file, "PNG", compress_level=COMPRESS_LEVEL)
    return file.getvalue()


def _claims_to_be_readable(data: bytes) -> bool:
    """By its first bytes it is one of the types that are taken."""
    webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    return webp or data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))


def _in_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in SIXTEEN_BITS:  # Pillow would cut them off at 255
        return picture.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        white.alpha_composite(picture.convert("RGBA"))
        return _in_srgb(white.convert("RGB"), picture.info.get("icc_profile"))
    if picture.mode == "CMYK":
        return _in_srgb(picture, picture.info.get("icc_profile"))
    return _in_srgb(picture.convert("RGB"), picture.info.get("icc_profile"))


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours that the file's own profile means; without its profile a wide-gamut photograph would look pale."""
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):  # a broken profile, or one for other channels
            converted = None
        if converted is not None:
            return converted
    return picture.convert("RGB")


def _reduced(picture: Image.Image) -> Image.Image:
    scale = math.sqrt(KEPT_PIXELS / (picture.width * picture.height))
    if scale >= 1:
        return picture
    size = (max(1, int(picture.width * scale)), max(1, int(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
