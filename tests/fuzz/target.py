"""What a fuzzing target is: inputs, and a check that raises for whatever should not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis.strategies import SearchStrategy

# What stands for a byte of 128 and more where bytes are read as text: all that some grammar of ours knows.
WORDS = (
    "--", "—", "–", "--ar", "--seed", "--no", "--lora", "--style", "--n", "--steps", "--quality", "--repeat", "--raw",
    "--tile", "--hires", "--stop", "--cfg", "--chaos", "--draft", "--spoiler", "--relax", "--fast", "--zoom",
    "<lora:", "<lora:neon:0.8>", ">", "=",
    '"', "“", "«", "(", ")", "[", "]", "{", "}", "::", ":", "\\", ",", "\n", "\t",
    "\x00", "\u200b", "\u202e", "\ud800", "`", "```", "||", "**", "@everyone", "<@1>", "<#1>", "<t:1:R>", "](http://x)",
    "https://cdn.discordapp.com/attachments/1/2/a.png", "https://discord.com/channels/1/2/3", "https://x/a.png",
    "%2e%2e/", "../", "ink", "neon", "red boat", "3:2", "1:1.5)", "0.5", "-1", "9" * 13, "1e9", "nan", "٣", "left", "%",
    "{0}", "{__class__}", "%s", "İ", "ß", "👩‍👩‍👧", "e\u0301" * 3, "Steps: 20, Seed: 1", "Negative prompt:", "limner:",
)  # fmt: skip


def text_of(data: bytes) -> str:
    """Bytes as text that is more often worth reading than chance would have it."""
    return "".join(chr(byte) if byte < 0x80 else WORDS[(byte - 0x80) % len(WORDS)] for byte in data)


def identity(data: bytes) -> bytes:
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`check` takes an input of `inputs`, or what `from_bytes` makes of bytes; `examples` is how many the suite tries.

    `seeds` are inputs as bytes to begin with where bytes are what is mutated.
    """

    name: str
    check: Callable[[Any], None]
    inputs: SearchStrategy[Any]
    from_bytes: Callable[[bytes], Any] = identity
    seeds: tuple[bytes, ...] = ()
    examples: int = 300
