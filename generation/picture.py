"""Picture files that carry their recipe, and reading it back.

PNG holds two text chunks: `parameters` in the form of AUTOMATIC1111's WebUI, which other tools read, and `limner` with
the recipe's canonical JSON. WebP and JPEG hold the same two in EXIF: the first as UserComment (UTF-16, as the WebUI
writes it), the second as MakerNote. Needs Pillow alone, so the bot may use it.
"""

from __future__ import annotations

import io
import struct
from typing import Literal

from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from generation.errors import InvalidRecipe
from generation.parameters import Parameters, parameters_text, parse_parameters
from generation.recipe import MAX_SIDE, Recipe

PARAMETERS_CHUNK = "parameters"
RECIPE_CHUNK = "limner"
READABLE_FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = MAX_SIDE**2
KEPT_COMPRESS_LEVEL = 6  # zlib's own default, for files that are kept
# A recipe with the longest prompts is below 20 KB; more than this is not from us, and is not parsed.
MAX_RECIPE_BYTES = 256 * 1024
# One JPEG segment, which the EXIF block has to fit into, less its own markers.
MAX_EXIF_BYTES = 65_000

# Pillow's own bounds: an error from twice its limit on, below that a warning, as for metadata that are broken; a
# program may have made warnings errors.
_BOMBS = (Image.DecompressionBombError, Warning)
_EXIF_UNICODE = b"UNICODE\0"


def encode_png(
    image: Image.Image, recipe: Recipe, *, sampler: str | None = None, compress_level: int = KEPT_COMPRESS_LEVEL
) -> bytes:
    """The picture as a PNG that carries `recipe`. `sampler` is the model's own scheduler, for recipes without one.

    `compress_level` is zlib's, 0 to 9: larger is smaller and slower.
    """
    text = PngInfo()
    text.add_text(PARAMETERS_CHUNK, parameters_text(recipe, sampler=sampler))
    text.add_itxt(RECIPE_CHUNK, recipe.to_json())
    file = io.BytesIO()
    image.save(file, "PNG", pnginfo=text, compress_level=compress_level)
    return file.getvalue()


def reencode(png: bytes, form: Literal["WEBP", "JPEG"], quality: int) -> bytes:
    """The same picture, smaller: WebP or JPEG of `quality` 1 to 100, with the recipe (if the PNG has one) in EXIF."""
    with open_picture(png) as image:
        recipe = _recipe_from_json(image.info.get(RECIPE_CHUNK))
        parameters = image.info.get(PARAMETERS_CHUNK, "")
        file = io.BytesIO()
        exif = b"" if recipe is None else _exif(str(parameters), recipe)
        image.convert("RGB").save(file, form, quality=quality, exif=exif)
    return file.getvalue()


def read_recipe(data: bytes) -> Recipe | None:
    """The recipe that a PNG, WebP or JPEG carries, or None. Never raises, whatever the bytes; decodes no pixels."""
    return _recipe_from_json(_texts(data)[1])


def read_parameters(data: bytes) -> Parameters | None:
    """What a PNG, WebP or JPEG tells in the WebUI's form, as other tools write it too, or None. Never raises."""
    text = _texts(data)[0]
    return None if text is None or len(text) > MAX_RECIPE_BYTES else parse_parameters(text)


def _texts(data: bytes) -> tuple[str | None, str | None]:
    """The WebUI's text and our JSON as they stand in the file."""
    try:
        with Image.open(io.BytesIO(data), formats=READABLE_FORMATS) as image:
            if image.format == "PNG":
                return image.info.get(PARAMETERS_CHUNK), image.info.get(RECIPE_CHUNK)
            exif = image.getexif().get_ifd(ExifTags.IFD.Exif)
            comment, note = exif.get(ExifTags.Base.UserComment), exif.get(ExifTags.Base.MakerNote)
            return _comment_text(comment), note.decode("utf-8") if isinstance(note, bytes) else None
    except (OSError, ValueError, SyntaxError, EOFError, struct.error, LookupError, TypeError, *_BOMBS):
        return None, None


def _comment_text(comment: object) -> str | None:
    """An EXIF comment: a code for its characters in eight bytes, then the text. UTF-16 comes in both byte orders."""
    if not isinstance(comment, bytes):
        return comment if isinstance(comment, str) else None
    code, text = comment[: len(_EXIF_UNICODE)], comment[len(_EXIF_UNICODE) :]
    if code != _EXIF_UNICODE:
        return text.decode("ascii", errors="replace")
    order = "utf-16-le" if text[1:2] == b"\0" else "utf-16-be"
    return text.decode(order, errors="replace")


def open_picture(data: bytes) -> Image.Image:
    """Open a PNG, JPEG or WebP; its pixels are decoded on first use.

    Raises `UnidentifiedImageError` (an `OSError`) for anything else and for pictures above `MAX_PIXELS`.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=READABLE_FORMATS)
    except (SyntaxError, ValueError, struct.error, *_BOMBS) as error:
        raise UnidentifiedImageError("not a readable picture") from error
    if image.width * image.height > MAX_PIXELS:
        raise UnidentifiedImageError(f"a picture of {image.width}×{image.height} pixels is too large")
    return image


def _recipe_from_json(text: object) -> Recipe | None:
    if not isinstance(text, str) or len(text) > MAX_RECIPE_BYTES:
        return None
    try:
        return Recipe.from_json(text)
    except InvalidRecipe:
        return None


def _exif(parameters: str, recipe: Recipe) -> bytes:
    """Both texts as an EXIF block. Where they do not fit, the WebUI's is left out; where ours does not, both are."""
    note = {int(ExifTags.Base.MakerNote): recipe.to_json().encode("utf-8")}
    comment = {int(ExifTags.Base.UserComment): _EXIF_UNICODE + parameters.encode("utf-16-be")}
    for entries in (comment | note, note):
        exif = Image.Exif()
        exif.get_ifd(ExifTags.IFD.Exif).update(entries)
        if len(block := exif.tobytes()) <= MAX_EXIF_BYTES:
            return block
    return b""
