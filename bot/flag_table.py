"""All flags: how each is written, what it takes, and which field of a `Request` it fills."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bot.flag_values import (
    RAW,
    number,
    number_of,
    plain,
    read_aspect,
    read_lora,
    read_name,
    read_sampler,
    read_style,
    text_up_to,
    whole_number,
    write_aspect,
    write_lora,
)
from generation.job import Priority
from generation.recipe import MAX_SEED, MAX_WEIRD
from generation.samplers import SAMPLER_NAMES

MAX_COUNT = 4
MAX_REPEAT = 40  # jobs that one prompt may make
QUALITIES = (0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """One row of the table: how a flag is written, and what it fills.

    `field` is the field of `Request`; `option` the slash option that fills it too; `allowed` says what it takes,
    without words of any language. `read` raises ValueError for anything else, and `write` is its inverse. `words`: the
    value runs to the next flag. `constant`: takes no value and stands for this one. What it is for, in words, stands in
    the message catalogue under `flags`.
    """

    name: str
    field: str
    allowed: str
    example: str
    read: Callable[[str], Any] = str
    write: Callable[[Any], str] = str
    aliases: tuple[str, ...] = ()
    option: str = ""
    words: bool = False
    repeatable: bool = False
    constant: str | bool | Priority | None = None


def flag_table(*, max_steps: int, max_text: int) -> tuple[Flag, ...]:
    """All flags, in the order in which help, docs and `to_text` show them."""
    return (
        Flag(
            name="ar", aliases=("aspect",), option="aspect", field="aspect", allowed="1:4 … 4:1", example="--ar 3:2",
            read=read_aspect, write=write_aspect,
        ),
        Flag(
            name="seed", option="seed", field="seed", allowed=f"0 … {MAX_SEED}", example="--seed 7",
            read=whole_number(0, MAX_SEED),
        ),
        Flag(name="style", option="style", field="style", allowed="NAME, raw", example="--style ink", read=read_style),
        Flag(name="raw", field="style", allowed="", example="--raw", constant=RAW),
        Flag(
            name="stylize", aliases=("s",), field="stylize", allowed="0 … 1000", example="--stylize 250",
            read=whole_number(0, 1000),
        ),
        Flag(name="model", option="model", field="model", allowed="NAME", example="--model sdxl", read=read_name),
        Flag(
            name="lora", option="lora", field="loras", allowed="NAME, NAME:WEIGHT (-2 … 2)", example="--lora neon:0.8",
            read=read_lora, write=write_lora, repeatable=True,
        ),
        Flag(
            name="n", option="count", field="count", allowed=f"1 … {MAX_COUNT}", example="--n 4",
            read=whole_number(1, MAX_COUNT),
        ),
        Flag(
            name="chaos", aliases=("c",), field="chaos", allowed="0 … 100", example="--chaos 30",
            read=whole_number(0, 100),
        ),
        Flag(
            name="weird", aliases=("w",), field="weird", allowed=f"0 … {MAX_WEIRD}", example="--weird 500",
            read=whole_number(0, MAX_WEIRD),
        ),
        Flag(
            name="steps", field="steps", allowed=f"1 … {max_steps}", example=f"--steps {min(30, max_steps)}",
            read=whole_number(1, max_steps),
        ),
        Flag(
            name="quality", aliases=("q",), field="quality", allowed=", ".join(plain(value) for value in QUALITIES),
            example="--quality 2", read=number_of(QUALITIES), write=plain,
        ),
        Flag(
            name="cfg", field="guidance_scale", allowed="1 … 20", example="--cfg 5",
            read=number(1, 20), write=plain,
        ),
        Flag(
            name="sampler", field="sampler", allowed=", ".join(SAMPLER_NAMES), example="--sampler dpmpp_2m",
            read=read_sampler,
        ),
        Flag(name="draft", aliases=("turbo",), field="draft", allowed="", example="--draft", constant=True),
        Flag(
            name="strength", option="strength", field="strength", allowed="0 … 1", example="--strength 0.6",
            read=number(0, 1), write=plain,
        ),
        Flag(name="hires", field="hires", allowed="1 … 2", example="--hires 1.5", read=number(1, 2), write=plain),
        Flag(name="refine", field="refine", allowed="0 … 1", example="--refine 0.2", read=number(0, 1), write=plain),
        Flag(name="stop", field="stop", allowed="10 … 100", example="--stop 80", read=whole_number(10, 100)),
        Flag(name="tile", field="tile", allowed="", example="--tile", constant=True),
        Flag(
            name="repeat", aliases=("r",), field="repeat", allowed=f"2 … {MAX_REPEAT}", example="--repeat 4",
            read=whole_number(2, MAX_REPEAT),
        ),
        Flag(name="fast", field="priority", allowed="", example="--fast", constant=Priority.FAST),
        Flag(name="relax", field="priority", allowed="", example="--relax", constant=Priority.RELAX),
        Flag(name="spoiler", field="spoiler", allowed="", example="--spoiler", constant=True),
        Flag(
            name="no", aliases=("negative",), option="negative", field="negative_prompt",
            allowed=f"TEXT (≤ {max_text}, no --flags)", example="--no cars, people",
            read=text_up_to(max_text), words=True,
        ),
    )  # fmt: skip
