"""Reads the header of a `.safetensors` file: names, shapes and metadata, without loading a weight.

The format (huggingface/safetensors, README "Format"): eight bytes with the header's length as a little-endian unsigned
integer, then that many bytes of JSON, then the tensors' bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# Far above what a checkpoint of thousands of tensors needs (SDXL: under 1 MiB); a broken length must not fill memory.
MAX_HEADER_BYTES = 16 * 2**20
_LENGTH_BYTES = 8


class MalformedHeader(ValueError):
    """The file is not in the safetensors format. Its text says what is wrong, for a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Tensor shapes by tensor name, and the file's `__metadata__`."""

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]


def read_header(path: Path) -> Header:
    """The header of the file at `path`. Raises `MalformedHeader`, or `OSError` when the file cannot be read."""
    with path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or not 0 < length <= size - _LENGTH_BYTES:
            raise MalformedHeader("it is not a safetensors file, or it is cut off")
        if length > MAX_HEADER_BYTES:
            raise MalformedHeader(f"its header is larger than {MAX_HEADER_BYTES // 2**20} MiB")
        raw = file.read(length)
    try:
        entries = json.loads(raw)
        metadata = entries.pop("__metadata__", {})
        shapes = {name: _whole(entry["shape"]) for name, entry in entries.items()}
        stored = max((max(_whole(entry["data_offsets"])) for entry in entries.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise MalformedHeader("its header is not that of a safetensors file") from error
    if stored > size - _LENGTH_BYTES - length:
        raise MalformedHeader("it is cut off: fewer bytes than its header promises")
    if not isinstance(metadata, dict):
        raise MalformedHeader("its header is not that of a safetensors file")
    return Header(shapes=shapes, metadata={str(key): str(value) for key, value in metadata.items()})


def _whole(numbers: object) -> tuple[int, ...]:
    """A list of sizes or of places. JSON knows other numbers, and Python's reader infinity too: raises ValueError."""
    if not isinstance(numbers, list) or any(type(number) is not int or number < 0 for number in numbers):
        raise ValueError(numbers)
    return tuple(numbers)
