"""Everything that reads what people send or bring, each with the promise that it keeps whatever that is.

One promise is common to all: what cannot be read is refused by an error of its own, and nothing else is raised.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import struct
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import strategies as st
from PIL import Image

from bot.catalogue import build_catalogue
from bot.cdn import DISCORD_HOSTS, LinkRefused, address
from bot.compose import StartingPicture, compose
from bot.config import load_config
from bot.edit import LARGEST_ZOOM, LEAST_ZOOM, take_zoom
from bot.flags import FlagParser, Request
from bot.member_defaults import MemberDefaults
from bot.messages import load_messages
from bot.picture_links import MessageLink, take_link
from bot.regions import read_region
from bot.series import MAX_JOBS, series_of
from bot.series_orders import _from_json as picture_of_question
from bot.surface import BUTTONS, DIALOGS
from bot.time_span import LONGEST, parse_time_span
from bot.views.dialog import answers_of
from bot.word_filter.word_filter import WordFilter
from generation.catalogue import Catalogue
from generation.embeddings import read_embedding
from generation.errors import EmbeddingRefused, InvalidRecipe, LoraRefused, RequestRejected
from generation.intake.errors import UploadAnimated, UploadTooManyPixels, UploadWrongType
from generation.intake.intake import _read as read_child
from generation.intake.limits import KEPT_PIXELS, MEGA
from generation.intake.normalise import normalise, png_of
from generation.loras import read_lora
from generation.parameters import parse_parameters
from generation.picture import read_parameters, read_recipe
from generation.prompt_language import expand, parse, within
from generation.recipe import Recipe
from generation.safetensors_header import MalformedHeader, read_header
from storage.guild_rules import _rules_of as rules_of
from tests.fuzz.inputs import PICTURES, RECIPE, SAFETENSORS, changed, deep, mutated, scalars, texts, values, written
from tests.fuzz.target import Target, text_of
from tests.recipe_strategies import recipes

PARSER = FlagParser(max_steps=60, max_prompt_length=2000)
MESSAGES = load_messages()
PICTURE = StartingPicture(digest="0" * 64, width=128, height=96)
MAX_PIXELS = MEGA  # of pictures that are decoded in this process: a bomb must stay small
LARGEST_ID = 2**63 - 1  # that a database's integer holds


@functools.cache
def catalogue() -> Catalogue:
    """What is shipped."""
    return build_catalogue(load_config())


# What is typed


def check_flags(text: str) -> None:
    """A request is read back as itself, and comes to recipes that can be stored."""
    try:
        request = PARSER.parse(text)
        assert PARSER.parse(PARSER.to_text(request)) == request
        for picture in (None, PICTURE):
            with contextlib.suppress(RequestRejected):
                order = compose(request, catalogue(), seed=1, picture=picture)
                assert order.cost >= 1
                assert all(Recipe.from_json(recipe.to_json()) == recipe for recipe in order.recipes)
    except RequestRejected:
        return


def check_options(case: tuple[str, dict[str, Any]]) -> None:
    """Slash options are read like flags, whatever they hold."""
    text, options = case
    with contextlib.suppress(RequestRejected):
        PARSER.parse(text, options, wordless=True)


OPTIONS = st.dictionaries(st.sampled_from([flag.option for flag in PARSER.flags if flag.option]), scalars, max_size=4)


def check_series(text: str) -> None:
    """Never more jobs than allowed, each of them as it would have been alone."""
    with contextlib.suppress(RequestRejected):
        jobs = series_of(PARSER, text)
        assert 1 <= len(jobs) <= MAX_JOBS
        assert all(isinstance(job, Request) and job.repeat is None for job in jobs)


def check_prompt(text: str) -> None:
    """What is printed reads as the same tree; templates and braces do not change that."""
    with contextlib.suppress(RequestRejected):
        prompt = parse(text)
        assert parse(prompt.to_text()) == prompt
        assert all(math.isfinite(part.weight) for part in prompt.parts)
        parse(within("a picture of ({prompt}:1.2), ink", text))
    with contextlib.suppress(RequestRejected):
        assert len(expand(text, 40)) <= 40


def check_region(text: str) -> None:
    """A region lies within its picture, however small that is."""
    with contextlib.suppress(RequestRejected):
        region = read_region(text)
        for width, height in ((1, 1), (8, 4096), (1024, 768)):
            left, top, right, bottom = region.box(width, height)
            assert 0 <= left < right <= max(width, left + 1)
            assert 0 <= top < bottom <= max(height, top + 1)


def check_zoom(text: str) -> None:
    """A zoom within its bounds."""
    with contextlib.suppress(RequestRejected):
        _, zoom = take_zoom(text)
        assert LEAST_ZOOM <= zoom <= LARGEST_ZOOM
        assert isinstance(zoom, Fraction)


def check_link(text: str) -> None:
    """Whatever a text holds, nothing but Discord's own hosts is ever asked."""
    with contextlib.suppress(RequestRejected):
        _, link = take_link(text, DISCORD_HOSTS)
        if isinstance(link, MessageLink):
            assert link.channel_id >= 0
        elif link is not None:
            assert link.host in DISCORD_HOSTS
            assert (link.scheme, link.port, link.user, link.password) == ("https", 443, None, None)
    with contextlib.suppress(LinkRefused):
        assert address(text, DISCORD_HOSTS).host in DISCORD_HOSTS


def check_time_span(text: str) -> None:
    """A span that can be added to any date of this century."""
    with contextlib.suppress(RequestRejected):
        assert timedelta() < parse_time_span(text) <= LONGEST


def check_words(text: str) -> None:
    """What is found is one of the words; nothing that is written stops the search, or is found where no word stands."""
    assert FILTER.find(text) in (None, "fnord")
    assert FILTER.find(f"{text} fnord") == "fnord"


FILTER = WordFilter(["fnord"])


# What is pressed and filled in


def check_custom_id(custom_id: str) -> None:
    """At most one family takes it, and the ids in it are such as a database can be asked for."""
    templates = [button.__discord_ui_compiled_template__ for button in BUTTONS]
    matches = [match for one in templates if (match := one.fullmatch(custom_id))]
    assert len(matches) <= 1, custom_id
    matches += [match for dialog in DIALOGS if (match := dialog.template.fullmatch(custom_id))]
    for match in matches:
        groups = match.groupdict()
        assert int(groups.pop("cells", None) or "0", 16) < 2**28
        assert all(int(number) <= LARGEST_ID for number in groups.values() if number and number.isdecimal())


ACTIONS = st.sampled_from(
    ["cancel", "draw_all", "pick", "again", "variations", "vary_subtle", "redraw", "pan_left", "custom_zoom", "cells",
     "vary_region", "region_words", "region_cells", "remix_again", "set", "remix", "forget", "delete", ""]
)  # fmt: skip
ENDINGS = st.sampled_from(["", ":ff", ":fffffff", ":ffffffff", ":-1", "\n", " ", ":style", "\x00"])
NUMBERS = st.integers().map(str) | st.sampled_from(["0", "01", "1", "9" * 18, "9" * 19, "٣", "1_0", "+1", "style", ""])
CUSTOM_IDS = st.builds("limner:{}:{}{}".format, ACTIONS, NUMBERS, ENDINGS) | texts


def check_form(data: dict[str, Any]) -> None:
    """A form that nobody could have filled in is read as far as it goes; its answers are texts."""
    answers = answers_of(cast(Any, SimpleNamespace(data=data)))
    assert all(isinstance(text, str) for text in (*answers.texts.values(), *answers.links.values()))


FORM: Mapping[str, Any] = {
    "custom_id": "limner:region_mask:1",
    "components": [
        {"type": 18, "component": {"type": 4, "custom_id": "prompt", "value": "a boat"}},
        {"type": 18, "component": {"type": 19, "custom_id": "mask", "values": ["5"]}},
        {"type": 1, "components": [{"type": 4, "custom_id": "words", "value": None}]},
    ],
    "resolved": {"attachments": {"5": {"url": "https://cdn.discordapp.com/attachments/1/2/a.png"}}},
}


@st.composite
def forms(draw: st.DrawFn) -> dict[str, Any]:
    """A form with something wrong in it, at any depth."""
    form = draw(changed(dict(FORM)))
    if isinstance(form.get("components"), list) and draw(st.booleans()):
        field = {"type": 19, "custom_id": "mask", "values": draw(values)} | draw(changed({"value": "a"}))
        form["components"] = [*form["components"], draw(st.just(field) | values)]
    return form


# What is brought


def check_metadata(data: bytes) -> None:
    """Reading what a file tells of itself never raises, and what is told is a recipe."""
    recipe, parameters = read_recipe(data), read_parameters(data)
    assert recipe is None or Recipe.from_json(recipe.to_json()) == recipe
    assert parameters is None or isinstance(parameters.prompt, str)


def check_pixels(data: bytes) -> None:
    """A file is refused, or breaks its reader (which has a process to itself), or comes out plain."""
    try:
        picture = normalise(data, max_pixels=MAX_PIXELS)
    except (UploadWrongType, UploadAnimated, UploadTooManyPixels):
        return
    except Exception:  # noqa: BLE001 – whatever a decoder raises ends the child, and the person is told
        return
    assert picture.mode == "RGB"
    assert 1 <= picture.width * picture.height <= min(MAX_PIXELS, KEPT_PIXELS)
    png = png_of(picture)
    with Image.open(_file(png)) as plain:
        assert (plain.format, plain.size, plain.info) == ("PNG", picture.size, {})


def _file(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


def check_parameters(text: str) -> None:
    """What other tools wrote is texts by name, or nothing."""
    told = parse_parameters(text)
    if told is not None:
        assert all(isinstance(value, str) for pair in told.settings.items() for value in pair)


def check_child(answer: bytes) -> None:
    """Whatever the process that decodes pictures says, it is checked, and it may be lying."""
    with contextlib.suppress(RequestRejected):
        upload = read_child(answer)
        assert upload.width >= 1
        assert upload.height >= 1
        assert upload.png.startswith(b"\x89PNG")


CHILD = {
    "width": 16, "height": 8, "greys": [0, 255], "recipe": RECIPE.to_dict(),
    "parameters": {"prompt": "a", "negative_prompt": "", "settings": {"Seed": "1"}},
}  # fmt: skip
REFUSED = {"refused": "upload_too_many_pixels", "fields": {"limit": 50}}
CHILDREN = ((changed(CHILD) | changed(REFUSED) | values).map(written) | deep | texts).map(
    lambda told: told.encode(errors="replace") + b"\n\x89PNG\r\n\x1a\n"
)


def check_safetensors(data: bytes) -> None:
    """A file in a folder of LoRAs or embeddings is one, or is left out with a reason: the bot starts anyway."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.safetensors"
        path.write_bytes(data)
        with contextlib.suppress(MalformedHeader):
            header = read_header(path)
            assert all(isinstance(side, int) and side >= 0 for shape in header.shapes.values() for side in shape)
            assert all(isinstance(text, str) for pair in header.metadata.items() for text in pair)
        with contextlib.suppress(LoraRefused):
            lora = read_lora(path)
            assert len(lora.trigger) <= 200
        with contextlib.suppress(EmbeddingRefused):
            read_embedding(path)


def _header_file(header: object) -> bytes:
    raw = written(header).encode()
    return struct.pack("<Q", len(raw)) + raw + bytes(8)


TENSOR = {"dtype": "F32", "shape": [2, 160], "data_offsets": [0, 8]}
HEADERS = changed({"__metadata__": {"a": "b"}, "a.lora_A.weight": TENSOR, "clip_l": TENSOR, "clip_g": TENSOR})


# What is stored


def check_recipe(text: str) -> None:
    """JSON is a recipe, the same one when it is written and read again, or it is refused."""
    with contextlib.suppress(InvalidRecipe):
        recipe = Recipe.from_json(text)
        assert Recipe.from_json(recipe.to_json()) == recipe
        hash(recipe.batch_key())
        assert math.isfinite(recipe.work(native_size=1024, default_steps=30))
        recipe.to_json().encode()


def check_defaults(stored: Any) -> None:
    """A member's stored defaults are read whatever they are, and never refuse an order."""
    defaults = MemberDefaults.read(stored, catalogue())
    assert MemberDefaults.read(defaults.stored(), catalogue()) == defaults
    compose(defaults.applied_to(Request(prompt="a boat")), catalogue(), seed=1)


def check_rules(stored: Any) -> None:
    """A server's stored rules are read whatever they are, and can be asked about every order."""
    rules = rules_of(stored)
    for number in (rules.max_queued_jobs, rules.steps, rules.megapixels, rules.account_age_days, rules.log_channel_id):
        assert number is None or (number >= 0 and math.isfinite(number))
    assert rules.paused in (True, False)
    assert all(isinstance(channel, int) for channel in rules.channels)


RULES: Mapping[str, Any] = {
    "max_queued_jobs": 5, "steps": 40, "megapixels": 1.5, "account_age_days": 7, "channels": [1, 2], "paused": True,
    "log_channel_id": 3,
}  # fmt: skip


def check_question(stored: Any) -> None:
    """The picture of a stored question is one, or the question is over."""
    with contextlib.suppress(RequestRejected):
        picture, parent = picture_of_question(stored)
        assert picture is None or picture.width * picture.height >= 1
        assert parent is None or parent <= LARGEST_ID


QUESTION: Mapping[str, Any] = {"digest": "0" * 64, "width": 128, "height": 96, "parent_image_id": 5}
DEFAULTS: Mapping[str, Any] = {"style": "ink", "aspect": "3:2", "model": "pocket", "stylize": 50, "remix": True}


TARGETS = (
    Target(name="flags", check=check_flags, inputs=texts, from_bytes=text_of, examples=500),
    Target(
        name="options",
        check=check_options,
        inputs=st.tuples(texts, OPTIONS),
        from_bytes=lambda data: (text_of(data[::2]), {"aspect": text_of(data[1::2]), "lora": text_of(data[1::3])}),
    ),
    Target(name="series", check=check_series, inputs=texts, from_bytes=text_of),
    Target(name="prompt", check=check_prompt, inputs=texts, from_bytes=text_of, examples=500),
    Target(name="region", check=check_region, inputs=texts, from_bytes=text_of),
    Target(name="zoom", check=check_zoom, inputs=texts, from_bytes=text_of),
    Target(name="link", check=check_link, inputs=texts, from_bytes=text_of),
    Target(
        name="time_span",
        check=check_time_span,
        inputs=texts | st.from_regex(r"([0-9]{1,8} ?(m|h|d|w|weeks?|years),? ?){1,4}", fullmatch=True),
        from_bytes=text_of,
        seeds=(b"1d 12h", b"2 weeks"),
    ),
    Target(name="words", check=check_words, inputs=texts | st.text(), from_bytes=text_of),
    Target(name="custom_id", check=check_custom_id, inputs=CUSTOM_IDS, from_bytes=text_of, examples=500),
    Target(
        name="form",
        check=check_form,
        inputs=forms(),
        from_bytes=lambda data: {**FORM, "components": [_json_of(data)]},
        seeds=tuple(written(field).encode() for field in FORM["components"]),
    ),
    Target(name="metadata", check=check_metadata, inputs=mutated(PICTURES), seeds=PICTURES),
    Target(name="pixels", check=check_pixels, inputs=mutated(PICTURES), seeds=PICTURES),
    Target(name="parameters", check=check_parameters, inputs=texts, from_bytes=text_of),
    Target(name="child", check=check_child, inputs=CHILDREN, seeds=(written(CHILD).encode() + b"\n\x89PNG\r\n\x1a\n",)),
    Target(
        name="safetensors",
        check=check_safetensors,
        inputs=mutated(SAFETENSORS) | HEADERS.map(_header_file),
        seeds=SAFETENSORS,
    ),
    Target(
        name="recipe",
        check=check_recipe,
        inputs=(recipes.flatmap(lambda recipe: changed(recipe.to_dict())) | values).map(written) | texts | deep,
        from_bytes=lambda data: data.decode(errors="replace"),
        seeds=(RECIPE.to_json().encode(),),
    ),
    Target(
        name="defaults",
        check=check_defaults,
        inputs=changed(dict(DEFAULTS)) | values,
        from_bytes=lambda data: _json_of(data),
        seeds=(written(DEFAULTS).encode(),),
    ),
    Target(
        name="rules",
        check=check_rules,
        inputs=changed(dict(RULES)) | values,
        from_bytes=lambda data: _json_of(data),
        seeds=(written(RULES).encode(),),
    ),
    Target(
        name="question",
        check=check_question,
        inputs=changed(dict(QUESTION)) | values,
        from_bytes=lambda data: _json_of(data),
        seeds=(written(QUESTION).encode(),),
    ),
)


def _json_of(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return text_of(data)
