"""What people typed stays text: in a code span, on one line, as long as it may be, wherever it is shown."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import words
from bot.messages import load_messages, quotable
from bot.wording import MESSAGE_LENGTH, REQUEST_LENGTH, code, fitting
from generation.errors import InvalidRecipe, RequestRejected
from tests.fuzz.inputs import texts
from tests.markdown import bare
from tests.test_messages import ERRORS, documented_fields, sentences

# Bidirectional classes of what turns the writing that follows it (UAX #9).
DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
MESSAGES = load_messages()
REJECTIONS = [kind for kind in ERRORS if issubclass(kind, RequestRejected)]
MARK = "☢"  # stands in every hostile text and in no sentence of ours
hostile = st.builds(lambda before, after: before + MARK + after, texts, texts)
# Fields that hold no text of people's: what is allowed, numbers, times, names and mentions that we made.
OURS = {
    "allowed", "reason", "mask_size", "picture_size", "channels", "channel", "days", "limit", "count", "steps", "width",
    "height", "least", "widest", "cost", "told", "available", "wanted", "queued", "waiting", "ordered", "length",
    "renews_at", "again_at", "until", "from_then", "detail",
}  # fmt: skip


@given(st.text() | texts)
def test_a_code_span_is_one_whatever_is_in_it(text: str) -> None:
    span = code(text)
    assert bare(f"before {span} after") == "before  after"
    assert len(span) <= REQUEST_LENGTH + 3
    assert "\n" not in span
    span.encode()
    assert not {unicodedata.bidirectional(character) for character in span} & DIRECTIONS


@given(st.lists(texts, min_size=1, max_size=4))
def test_spans_beside_each_other_stay_apart(many: list[str]) -> None:
    assert bare(" ".join(map(code, many))).strip() == ""
    assert bare("".join(f"**{code(one)}**" for one in many)).replace("*", "") == ""


@given(st.text())
def test_what_is_no_trouble_is_left_as_it_is(text: str) -> None:
    plain = "".join(character for character in text if character.isprintable() and character != "`")[:50]
    assert quotable(plain) == plain


@settings(max_examples=400)
@given(kind=st.sampled_from(REJECTIONS), text=hostile, thing=st.sampled_from(["style", "lora", "embedding", "model"]))
def test_no_error_lets_it_out(kind: type[RequestRejected], text: str, thing: str) -> None:
    ours = OURS | ({"name"} if kind is InvalidRecipe else set())  # the name of a recipe's field
    fields: dict[str, object] = {name: 7 if name in ours else text for name in documented_fields(kind)}
    if "kind" in fields:
        fields["kind"] = thing
    said = words(kind(**fields), MESSAGES, "en")
    assert MARK not in bare(said), sentences(kind)
    assert len(said) <= MESSAGE_LENGTH


@given(st.lists(texts.map(code), min_size=1, max_size=30), st.integers(700, 2000))
def test_what_does_not_fit_is_left_out_by_whole_lines(lines: list[str], length: int) -> None:
    shown = "\n".join(fitting(lines, length))
    assert len(shown) <= length
    assert bare(shown).strip() == ""
    assert shown.splitlines() == lines[: len(shown.splitlines())]
