"""What a person types, and what comes of it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.flag_errors import (
    FlagAgainstOption,
    FlagRepeated,
    FlagTakesNoValue,
    FlagValueInvalid,
    FlagValueMissing,
    PromptEmpty,
    PromptTooLong,
    TooManyLoras,
    UnknownFlag,
)
from bot.flag_table import QUALITIES
from bot.flags import FlagParser, Request
from generation.errors import RequestRejected
from generation.job import Priority
from generation.recipe import MAX_LORAS, MAX_SEED, LoraUse
from generation.samplers import SAMPLER_NAMES, SAMPLERS

PARSER = FlagParser(max_steps=60, max_prompt_length=2000)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red boat", Request(prompt="a red boat")),
        ("  a\tred \n boat ", Request(prompt="a red boat")),
        (
            "a red boat on the sea --ar 3:2 --seed 7 --style ink",
            Request(prompt="a red boat on the sea", aspect=Fraction(3, 2), seed=7, style="ink"),
        ),
        ("--ar 3:2 a red boat", Request(prompt="a red boat", aspect=Fraction(3, 2))),
        ("a red --seed 7 boat", Request(prompt="a red boat", seed=7)),
        ("boat --aspect 6:4", Request(prompt="boat", aspect=Fraction(3, 2))),
        ("boat --AR=3:2", Request(prompt="boat", aspect=Fraction(3, 2))),
        ("boat —ar 3:2 –seed 7", Request(prompt="boat", aspect=Fraction(3, 2), seed=7)),
        ("boat — by night", Request(prompt="boat — by night")),
        ("boat -- by night -n", Request(prompt="boat -- by night -n")),
        ("well-known boat 1990–2000", Request(prompt="well-known boat 1990–2000")),
        ("boat --no cars, red people --n 2", Request(prompt="boat", negative_prompt="cars, red people", count=2)),
        ("boat --no=cars, people", Request(prompt="boat", negative_prompt="cars, people")),
        ("boat --negative cars", Request(prompt="boat", negative_prompt="cars")),
        ("boat --raw", Request(prompt="boat", style="raw")),
        ("boat --style RAW", Request(prompt="boat", style="raw")),
        ("boat --lora neon", Request(prompt="boat", loras=(LoraUse(name="neon"),))),
        (
            "boat --lora neon:-0.5 --lora ink2:.8",
            Request(prompt="boat", loras=(LoraUse(name="neon", weight=-0.5), LoraUse(name="ink2", weight=0.8))),
        ),
        (
            "a <lora:neon:0.8> boat<lora:my blue print>",
            Request(prompt="a boat", loras=(LoraUse(name="neon", weight=0.8), LoraUse(name="my blue print"))),
        ),
        (
            'boat --lora "my blue print:0.5" at sea',
            Request(prompt="boat at sea", loras=(LoraUse(name="my blue print", weight=0.5),)),
        ),
        ("boat --lora “neon” at sea", Request(prompt="boat at sea", loras=(LoraUse(name="neon"),))),
        (
            "boat --model SDXL --stylize 250 --chaos 30 --weird 500 --quality .5 --stop 80",
            Request(prompt="boat", model="SDXL", stylize=250, chaos=30, weird=500, quality=0.5, stop=80),
        ),
        (
            "boat --s 0 --c 0 --w 0 --q 1 --r 40",
            Request(prompt="boat", stylize=0, chaos=0, weird=0, quality=1.0, repeat=40),
        ),
        ("boat --s 1000 --c 100 --w 3000", Request(prompt="boat", stylize=1000, chaos=100, weird=3000)),
        ("boat --tile on the sea --draft", Request(prompt="boat on the sea", tile=True, draft=True)),
        ("boat --turbo", Request(prompt="boat", draft=True)),
        ("boat --fast", Request(prompt="boat", priority=Priority.FAST)),
        ("boat --relax --spoiler", Request(prompt="boat", priority=Priority.RELAX, spoiler=True)),
        (
            "boat --strength 0 --hires 1.5 --refine .2",
            Request(prompt="boat", strength=0.0, hires=1.5, refine=0.2),
        ),
        ("boat --sampler DPMPP-2M-Karras", Request(prompt="boat", sampler="dpmpp_2m_karras")),
        ('boat --sampler "DPM++ 2M Karras"', Request(prompt="boat", sampler="dpmpp_2m_karras")),
        ('boat --sampler "euler a"', Request(prompt="boat", sampler="euler_a")),
        ("boat --steps 60 --cfg 7.5", Request(prompt="boat", steps=60, guidance_scale=7.5)),
        ("boat --seed 4294967295 --cfg 1", Request(prompt="boat", seed=MAX_SEED, guidance_scale=1.0)),
        ("nul\x00 and half a \ud83d pair", Request(prompt="nul and half a pair")),
    ],
)
def test_reads(text: str, expected: Request) -> None:
    assert PARSER.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "error", "fields"),
    [
        ("boat --asspect 3:2", UnknownFlag, {"flag": "--asspect", "nearest": "--aspect"}),
        ("boat --caos 20", UnknownFlag, {"flag": "--caos", "nearest": "--chaos"}),
        ("boat --zzz 20", UnknownFlag, {"flag": "--zzz", "nearest": ""}),
        ("boat --chaos", FlagValueMissing, {"flag": "--chaos", "example": "--chaos 30"}),
        ("boat --c 101", FlagValueInvalid, {"flag": "--c", "value": "101", "allowed": "0 … 100"}),
        ("boat --stylize 1001", FlagValueInvalid, {"flag": "--stylize", "value": "1001", "allowed": "0 … 1000"}),
        ("boat --weird 3001", FlagValueInvalid, {"flag": "--weird", "value": "3001", "allowed": "0 … 3000"}),
        ("boat --q 3", FlagValueInvalid, {"flag": "--q", "value": "3", "allowed": "0.25, 0.5, 1, 2, 4"}),
        ("boat --stop 9", FlagValueInvalid, {"flag": "--stop", "value": "9", "allowed": "10 … 100"}),
        ("boat --stop 101", FlagValueInvalid, {"flag": "--stop", "value": "101"}),
        ("boat --repeat 1", FlagValueInvalid, {"flag": "--repeat", "value": "1", "allowed": "2 … 40"}),
        ("boat --r 41", FlagValueInvalid, {"flag": "--r", "value": "41"}),
        ("boat --strength 1.1", FlagValueInvalid, {"flag": "--strength", "value": "1.1", "allowed": "0 … 1"}),
        ("boat --hires 0.9", FlagValueInvalid, {"flag": "--hires", "value": "0.9", "allowed": "1 … 2"}),
        ("boat --hires 2.1", FlagValueInvalid, {"flag": "--hires", "value": "2.1"}),
        ("boat --refine 2", FlagValueInvalid, {"flag": "--refine", "value": "2", "allowed": "0 … 1"}),
        ("boat --sampler plms", FlagValueInvalid, {"flag": "--sampler", "value": "plms"}),
        ("boat --tile=yes", FlagTakesNoValue, {"flag": "--tile", "value": "yes"}),
        ("boat --draft --turbo", FlagRepeated, {"first": "--draft", "flag": "--turbo"}),
        ("boat --tile --tile", FlagRepeated, {"first": "--tile", "flag": "--tile"}),
        ("boat --ar", FlagValueMissing, {"flag": "--ar", "example": "--ar 3:2"}),
        ("boat --ar --seed 7", FlagValueMissing, {"flag": "--ar", "example": "--ar 3:2"}),
        ("boat --ar=", FlagValueMissing, {"flag": "--ar", "example": "--ar 3:2"}),
        ("boat --no --seed 7", FlagValueMissing, {"flag": "--no", "example": "--no cars, people"}),
        ('boat --lora "" x', FlagValueMissing, {"flag": "--lora", "example": "--lora neon:0.8"}),
        ("boat --ar 5:1", FlagValueInvalid, {"flag": "--ar", "value": "5:1", "allowed": "1:4 … 4:1"}),
        ("boat --ar 3:2--seed 7", FlagValueInvalid, {"flag": "--ar", "value": "3:2--seed", "allowed": "1:4 … 4:1"}),
        ("boat --seed -1", FlagValueInvalid, {"flag": "--seed", "value": "-1", "allowed": "0 … 4294967295"}),
        ("boat --seed 4294967296", FlagValueInvalid, {"flag": "--seed", "value": "4294967296"}),
        ("boat --seed ٧", FlagValueInvalid, {"flag": "--seed", "value": "٧"}),
        ("boat --seed 7.0", FlagValueInvalid, {"flag": "--seed", "value": "7.0"}),
        ("boat --seed 1_000", FlagValueInvalid, {"flag": "--seed", "value": "1_000"}),
        ("boat --n 0", FlagValueInvalid, {"flag": "--n", "value": "0", "allowed": "1 … 4"}),
        ("boat --n 5", FlagValueInvalid, {"flag": "--n", "value": "5", "allowed": "1 … 4"}),
        ("boat --steps 61", FlagValueInvalid, {"flag": "--steps", "value": "61", "allowed": "1 … 60"}),
        ("boat --cfg nan", FlagValueInvalid, {"flag": "--cfg", "value": "nan", "allowed": "1 … 20"}),
        ("boat --cfg inf", FlagValueInvalid, {"flag": "--cfg", "value": "inf"}),
        ("boat --cfg 1e1", FlagValueInvalid, {"flag": "--cfg", "value": "1e1"}),
        ("boat --cfg 0.9", FlagValueInvalid, {"flag": "--cfg", "value": "0.9"}),
        ("boat --lora neon:2.1", FlagValueInvalid, {"flag": "--lora", "value": "neon:2.1"}),
        ("boat --lora neon:", FlagValueInvalid, {"flag": "--lora", "value": "neon:"}),
        ("boat --lora :1", FlagValueInvalid, {"flag": "--lora", "value": ":1"}),
        ('boat --lora "neon', FlagValueInvalid, {"flag": "--lora", "value": '"neon'}),
        ("boat <lora:neon:x>", FlagValueInvalid, {"flag": "<lora:…>", "value": "neon:x"}),
        ("boat <lora:neon", FlagValueInvalid, {"flag": "<lora:…>", "value": "<lora:neon"}),
        ("boat --raw=yes", FlagTakesNoValue, {"flag": "--raw", "value": "yes"}),
        ("boat --ar 3:2 --aspect 3:2", FlagRepeated, {"first": "--ar", "flag": "--aspect"}),
        ("boat --style ink --raw", FlagRepeated, {"first": "--style", "flag": "--raw"}),
        ("boat --lora neon --lora Neon:0.5", FlagRepeated, {"first": "--lora Neon", "flag": "--lora Neon"}),
        ("b --lora a --lora b --lora c <lora:d> --lora e", TooManyLoras, {"limit": 4}),
        ("", PromptEmpty, {}),
        ("--seed 7", PromptEmpty, {}),
        ("a" * 2001, PromptTooLong, {"length": 2001, "limit": 2000}),
    ],
)
def test_refuses(text: str, error: type[RequestRejected], fields: dict[str, object]) -> None:
    with pytest.raises(error) as caught:
        PARSER.parse(text)
    assert {name: caught.value.fields[name] for name in fields} == fields


def test_the_limits_are_the_servers() -> None:
    parser = FlagParser(max_steps=10, max_prompt_length=5)
    assert parser.parse("boats --steps 10").steps == 10
    with pytest.raises(FlagValueInvalid):
        parser.parse("boats --steps 11")
    with pytest.raises(PromptTooLong):
        parser.parse("boats!")


def test_slash_options_fill_the_same_fields_as_flags() -> None:
    options = {"aspect": "3:2", "seed": 7, "style": "ink", "negative": "cars", "lora": "neon:0.5", "count": 2}
    options["model"] = "sdxl"
    by_flags = "boat --ar 3:2 --seed 7 --style ink --no cars --lora neon:0.5 --n 2 --model sdxl"
    assert PARSER.parse("boat", options) == PARSER.parse(by_flags)
    assert PARSER.parse("boat", dict.fromkeys(options)) == Request(prompt="boat")


def test_a_flag_against_its_slash_option_is_refused() -> None:
    with pytest.raises(FlagAgainstOption) as caught:
        PARSER.parse("boat --raw", {"style": "ink"})
    assert caught.value.fields == {"flag": "--raw", "option": "style"}


@pytest.mark.parametrize(
    "options",
    [{"aspect": "wide"}, {"seed": -1}, {"count": 5}, {"lora": "a:3"}, {"style": ""}, {"negative": "cars --seed 3"}],
)
def test_slash_options_are_checked_as_flags_are(options: dict[str, object]) -> None:
    with pytest.raises(FlagValueInvalid) as caught:
        PARSER.parse("boat", options)
    assert caught.value.fields["flag"] == next(iter(options))


def test_every_flag_of_the_table_fills_a_field_and_its_example_is_right() -> None:
    fields = {field.name for field in dataclasses.fields(Request)}
    for flag in PARSER.flags:
        assert flag.field in fields
        assert getattr(PARSER.parse(f"boat {flag.example}"), flag.field) is not None


names = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Z"], exclude_characters='"“”„«»<>:`'), min_size=1
).filter(lambda text: text == " ".join(text.split()) != "" and text.lower() != "raw")
texts = st.lists(st.text("abcé雪(),.'\"-—0:", min_size=1, max_size=8), min_size=1, max_size=8).map(" ".join)


def no_flags(text: str) -> bool:
    try:
        return PARSER.parse(text) == Request(prompt=text)
    except RequestRejected:
        return False


requests = st.builds(
    Request,
    prompt=texts.filter(no_flags),
    aspect=st.none() | st.fractions(Fraction(1, 4), 4, max_denominator=9999),
    seed=st.none() | st.integers(0, MAX_SEED),
    style=st.none() | st.just("raw") | names,
    negative_prompt=st.none() | texts.filter(no_flags),
    loras=st.lists(
        st.builds(
            LoraUse, name=names, weight=st.integers(-2_000_000, 2_000_000).map(lambda millionth: millionth / 1e6)
        ),
        max_size=MAX_LORAS,
        unique_by=lambda lora: lora.name.lower(),
    ).map(tuple),
    count=st.none() | st.integers(1, 4),
    steps=st.none() | st.integers(1, 60),
    guidance_scale=st.none() | st.integers(1000, 20_000).map(lambda thousandth: thousandth / 1000),
    stylize=st.none() | st.integers(0, 1000),
    model=st.none() | names,
    chaos=st.none() | st.integers(0, 100),
    weird=st.none() | st.integers(0, 3000),
    quality=st.none() | st.sampled_from(QUALITIES),
    sampler=st.none() | st.sampled_from(SAMPLER_NAMES),
    draft=st.booleans(),
    strength=st.none() | st.integers(0, 1_000_000).map(lambda millionth: millionth / 1e6),
    hires=st.none() | st.integers(1_000_000, 2_000_000).map(lambda millionth: millionth / 1e6),
    refine=st.none() | st.integers(0, 1_000_000).map(lambda millionth: millionth / 1e6),
    stop=st.none() | st.integers(10, 100),
    tile=st.booleans(),
    repeat=st.none() | st.integers(2, 40),
    priority=st.none() | st.sampled_from(list(Priority)),
    spoiler=st.booleans(),
)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_are_known_by_the_webuis_names_too(name: str) -> None:
    assert PARSER.parse(f'boat --sampler "{SAMPLERS[name].webui}"').sampler == name


def test_one_is_either_fast_or_relaxed() -> None:
    with pytest.raises(FlagRepeated) as caught:
        PARSER.parse("boat --relax --fast")
    assert caught.value.fields == {"flag": "--fast", "first": "--relax"}


@given(requests)
def test_printed_and_read_again_it_is_the_same_request(request: Request) -> None:
    assert PARSER.parse(PARSER.to_text(request)) == request


@given(requests.map(lambda request: dataclasses.replace(request, prompt="")))
def test_flags_alone_are_enough_where_there_is_a_picture(request: Request) -> None:
    text = PARSER.to_text(request)
    assert PARSER.parse(text, wordless=True) == request
    with pytest.raises(PromptEmpty):
        PARSER.parse(text)


fragments = st.sampled_from(
    [
        "--",
        "—",
        "–",
        "-",
        "ar",
        "seed",
        "no",
        "lora",
        "raw",
        "style",
        "tile",
        "q",
        "sampler",
        "hires",
        "<lora:",
        ">",
        ":",
        "=",
        '"',
        "”",
        " ",
        "3:2",
        "7",
        "\n",
    ]
)


@given(st.text(st.characters()) | st.lists(fragments | st.text(max_size=3), max_size=30).map("".join))
def test_any_text_is_read_or_refused_and_what_was_read_reads_the_same_again(text: str) -> None:
    try:
        request = PARSER.parse(text)
    except RequestRejected:
        return
    assert PARSER.parse(PARSER.to_text(request)) == request


@given(
    st.dictionaries(st.sampled_from(["aspect", "seed", "style", "negative", "lora", "count"]), st.text(st.characters()))
)
def test_any_option_is_read_or_refused(options: dict[str, str]) -> None:
    try:
        request = PARSER.parse("boat", options)
    except RequestRejected:
        return
    assert PARSER.parse(PARSER.to_text(request)) == request


@pytest.mark.parametrize(
    "piece",
    ["-", "—", "--", "<lora:", "<lora", '"', '--lora "a ', "--no ", "=", "--=", "a ", "--no a ", "<lora:a>", "0", ":"],
)
def test_long_texts_take_time_in_proportion(piece: str) -> None:
    def seconds(length: int) -> float:
        text = "boat --lora " + piece * (length // len(piece))
        start = time.process_time()
        with contextlib.suppress(RequestRejected):
            PARSER.parse(text)
        return time.process_time() - start

    # 200,000 characters: a quadratic reader would take minutes
    assert seconds(200_000) < 2
