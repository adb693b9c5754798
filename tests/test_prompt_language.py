"""The language of prompts: what is syntax, what is text, what is refused, and that time is linear."""

from __future__ import annotations

import contextlib
import re
import time
import timeit
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generation.errors import RequestRejected
from generation.prompt_language import Fragment, Part, Prompt, embeddings_in, escape, expand, parse, within
from generation.prompt_language.errors import (
    BracesTooDeep,
    BracesUnbalanced,
    PartsInBrackets,
    PartsOutweighed,
    PartWeightInvalid,
    PartWithoutWords,
    TooManyParts,
    TooManyPermutations,
    TooManyWeights,
    WeightInSquareBrackets,
    WordWeightInvalid,
)

SYNTAX = re.compile(r"[()\[\]{}\\]|::")
# Texts that are mostly syntax, so that the grammar is met in all its corners.
typed = st.text(alphabet="ab  ()[]{}:,\\.0123-+%\n", max_size=60) | st.text(max_size=60)


def weights(text: str) -> list[tuple[str, float]]:
    """The fragments of a prompt of one part."""
    (part,) = parse(text).parts
    return [(fragment.text, fragment.weight) for fragment in part.fragments]


def parts(text: str) -> list[tuple[str, float]]:
    return [(part.text, part.weight) for part in parse(text).parts]


class TestWeights:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a boat", [("a boat", 1)]),
            ("a (red:1.3) boat", [("a ", 1), ("red", 1.3), (" boat", 1)]),
            ("a (red) boat", [("a ", 1), ("red", 1.1), (" boat", 1)]),
            ("a [red] boat", [("a ", 1), ("red", 0.9091), (" boat", 1)]),
            ("((red)) boat", [("red", 1.21), (" boat", 1)]),
            ("((red:1.5) boat)", [("red", 1.65), (" boat", 1.1)]),
            ("[(red)] boat", [("red boat", 1)]),
            ("(red:.5)", [("red", 0.5)]),
            ("(red: +2. )", [("red", 2)]),
            ("(red:0) boat", [("red", 0), (" boat", 1)]),
            ("(a:1.2)(b:1.2)", [("ab", 1.2)]),
            ("(:1.2)a()", [("a", 1)]),
        ],
    )
    def test_brackets(self, text: str, expected: list[tuple[str, float]]) -> None:
        assert weights(text) == expected

    @pytest.mark.parametrize("text", ["a boat :)", ":-( a boat", "a ] b [ c", "1) a boat 2) a cat", "a: b", "12:30"])
    def test_lone_brackets_and_colons_are_text(self, text: str) -> None:
        assert weights(text) == [(text, 1)]

    def test_of_crossing_brackets_the_inner_one_is_text(self) -> None:
        assert weights("(a [b) c]") == [("a [b", 1.1), (" c]", 1)]

    def test_a_colon_before_words_is_text(self) -> None:
        assert weights("(note: 3 boats)") == [("note: 3 boats", 1.1)]
        assert weights("(a smile :)") == [("a smile :", 1.1)]

    def test_escapes(self) -> None:
        assert weights(r"\(a\) \[b\] c\:d \{e\}\, \\ \f") == [(r"(a) [b] c:d {e}, \ \f", 1)]
        assert weights(r"(a\:1.2)") == [("a:1.2", 1.1)]

    @pytest.mark.parametrize("weight", ["3.5", "-1", "30", "1,3", "1.2.3", "--1", "120%"])
    def test_what_is_no_weight_is_refused(self, weight: str) -> None:
        with pytest.raises(WordWeightInvalid) as caught:
            parse(f"a (boat:{weight})")
        assert caught.value.fields["weight"] == weight

    def test_a_number_beyond_all_numbers_is_refused_too(self) -> None:
        with pytest.raises(WordWeightInvalid):
            parse(f"(boat:{'9' * 500})")

    def test_too_many_brackets_come_to_too_much(self) -> None:
        assert weights("(" * 11 + "a" + ")" * 11) == [("a", 2.8531)]
        with pytest.raises(WordWeightInvalid):
            parse("(" * 12 + "a" + ")" * 12)

    def test_square_brackets_take_no_number(self) -> None:
        with pytest.raises(WeightInSquareBrackets):
            parse("a [red:0.5] boat")

    def test_so_many_different_weights_and_no_more(self) -> None:
        text = " ".join(f"(a:1.{number:02})" for number in range(10, 31))
        assert len(weights(text[:-9])) == 39
        with pytest.raises(TooManyWeights):
            parse(text)


class TestParts:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a:: b::2 c::-0.5", [("a", 1), ("b", 2), ("c", -0.5)]),
            ("hot::dog", [("hot", 1), ("dog", 1)]),
            ("a ::2 b", [("a", 2), ("b", 1)]),
            ("a::2, b", [("a", 2), (", b", 1)]),
            ("a::3d b", [("a", 1), ("3d b", 1)]),
            ("a:: 2 b", [("a", 1), ("2 b", 1)]),
            ("a::2", [("a", 1)]),
            ("a::", [("a", 1)]),
            (":: a", [("a", 1)]),
            ("::", []),
            ("", []),
            (r"a\:\: b", [("a:: b", 1)]),
            (r"a\:: b", [("a:: b", 1)]),
            (":) a:: b", [(":) a", 1), ("b", 1)]),
        ],
    )
    def test_double_colons(self, text: str, expected: list[tuple[str, float]]) -> None:
        assert parts(text) == expected

    def test_words_have_weights_in_parts(self) -> None:
        assert parse("(a:1.5) b::2 c").parts == (
            Part(fragments=(Fragment(text="a", weight=1.5), Fragment(text=" b")), weight=2),
            Part(fragments=(Fragment(text="c"),)),
        )

    @pytest.mark.parametrize("weight", ["101", "-101", "1,5", "1.5.2", "50%", "9" * 500])
    def test_what_is_no_weight_is_refused(self, weight: str) -> None:
        with pytest.raises(PartWeightInvalid):
            parse(f"a::{weight} b")

    @pytest.mark.parametrize("text", ["a::-1", "a:: b::-1", "a::0.5 b::-1", "a::0", "a::0 b::0"])
    def test_weights_come_to_more_than_nothing(self, text: str) -> None:
        with pytest.raises(PartsOutweighed):
            parse(text)

    @pytest.mark.parametrize("text", ["::2", "a:: ::2 b", "a::2 ::-1"])
    def test_a_weight_needs_words(self, text: str) -> None:
        with pytest.raises(PartWithoutWords):
            parse(text)

    @pytest.mark.parametrize("text", ["(a:: b)", "(a::1.3)", "a (b [c:: d])"])
    def test_not_within_brackets(self, text: str) -> None:
        with pytest.raises(PartsInBrackets):
            parse(text)

    def test_so_many_and_no_more(self) -> None:
        assert len(parse("a::" * 20).parts) == 20
        with pytest.raises(TooManyParts):
            parse("a::" * 21)


class TestPrinting:
    @given(typed)
    def test_parse_print_parse(self, text: str) -> None:
        """And no text raises anything but our errors."""
        try:
            prompt = parse(text)
        except RequestRejected:
            return
        printed = prompt.to_text()
        assert parse(printed) == prompt
        assert parse(printed).to_text() == printed

    @given(st.text(max_size=60).filter(lambda text: not SYNTAX.search(text)))
    def test_plain_words_come_out_as_they_went_in(self, text: str) -> None:
        assert parse(text).to_text() == text.strip()

    @given(st.text(max_size=60))
    def test_escaped_words_are_nothing_but_words(self, text: str) -> None:
        assert parse(escape(text)).text == text.strip()

    @given(st.lists(st.tuples(st.text(max_size=8), st.floats(0, 3)), max_size=5), st.floats(0.1, 100))
    def test_every_tree_can_be_typed(self, words: list[tuple[str, float]], weight: float) -> None:
        fragments = tuple(Fragment(text=text, weight=each) for text, each in words)
        prompt = Prompt.of(
            [Part(fragments=fragments, weight=weight), Part(fragments=(Fragment(text="b:"),), weight=0.5)]
        )
        assert parse(prompt.to_text()) == prompt

    @pytest.mark.parametrize(
        ("text", "printed"),
        [
            ("((a)) [b]", "(a:1.21) (b:0.9091)"),
            ("a::1.50 b::", "a::1.5 b"),
            ("a::b::2", "a:: b::2"),
            (":)", r":\)"),
            ("(a\\::2)", "(a\\::2)"),
            ("{a}", r"\{a\}"),
            ("(a:0.0001)", "(a:0.0001)"),
        ],
    )
    def test_the_canonical_form(self, text: str, printed: str) -> None:
        assert parse(text).to_text() == printed


class TestPermutations:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("a boat", ["a boat"]),
            ("{red, blue} boat", ["red boat", "blue boat"]),
            ("a {red} boat", ["a red boat"]),
            ("{a, b} {c, d}", ["a c", "a d", "b c", "b d"]),
            ("a {b {c, d}, e}", ["a b c", "a b d", "a e"]),
            ("a boat {, at night}", ["a boat ", "a boat at night"]),
            ("a{} b", ["a b"]),
            ("boat --ar {3:2, 16:9}", ["boat --ar 3:2", "boat --ar 16:9"]),
            (r"{a\, b, c}", [r"a\, b", "c"]),
            (r"\{a, b\}", [r"\{a, b\}"]),
            ("a, b", ["a, b"]),
            ("({red, blue}:1.3):: {a, b}", ["(red:1.3):: a", "(red:1.3):: b", "(blue:1.3):: a", "(blue:1.3):: b"]),
        ],
    )
    def test_braces(self, text: str, expected: list[str]) -> None:
        assert expand(text) == expected

    @pytest.mark.parametrize("text", ["{a", "a}", "{a {b}", "a} {b", r"{a\}"])
    def test_unbalanced(self, text: str) -> None:
        with pytest.raises(BracesUnbalanced):
            expand(text)

    def test_too_deep(self) -> None:
        assert expand("{" * 8 + "a" + "}" * 8) == ["a"]
        with pytest.raises(BracesTooDeep):
            expand("{" * 9 + "a" + "}" * 9)

    def test_too_many_are_counted(self) -> None:
        assert len(expand("{a, b}" * 5 + "{a}")) == 32
        with pytest.raises(TooManyPermutations) as caught:
            expand("{a, b, c} {a, b {c, d}, e} {1,2,3,4}")
        assert caught.value.fields == {"count": "48", "limit": 40}
        with pytest.raises(TooManyPermutations) as caught:
            expand("{a, b}" * 3000)
        assert caught.value.fields["count"] == "> 1000000"
        assert len(expand("{a, b}", limit=2)) == 2
        with pytest.raises(TooManyPermutations):
            expand("{a, b, c}", limit=2)

    @given(typed)
    def test_no_text_raises_anything_else_and_none_is_expanded_twice(self, text: str) -> None:
        try:
            expanded = expand(text)
        except RequestRejected:
            return
        assert expanded == [text] or "{" in text
        for one in expanded:
            assert expand(one) == [one]


class TestTemplates:
    def test_plain_words_are_put_in(self) -> None:
        assert within("ink drawing of {prompt}, black", "a boat") == "ink drawing of a boat, black"

    def test_each_part_gets_it(self) -> None:
        assert within("ink of {prompt}", "a:: (b:1.5)::2 c::-0.5") == "ink of a:: ink of (b:1.5)::2 ink of c::-0.5"

    def test_brackets_around_the_prompt_act_on_it(self) -> None:
        assert within("({prompt}:1.2), ink", "a (b:1.5) :)") == r"(a :1.2)(b:1.8)( :\):1.2), ink"

    def test_the_weight_of_its_own_words(self) -> None:
        assert within("ink of {prompt}, (black:1.5)", "a boat", weight=0.5) == "(ink of :0.5)a boat(, :0.5)(black:0.75)"

    def test_no_prompt_at_all(self) -> None:
        assert within("ink, {prompt}", "") == "ink,"

    def test_parts_of_its_own(self) -> None:
        assert within("{prompt}:: ink::0.5", "a:: b::2") == "a:: b::2 ink::0.5"

    def test_weights_that_multiply_to_too_much(self) -> None:
        with pytest.raises(WordWeightInvalid):
            within("({prompt}:2)", "(a:2)")

    @given(typed)
    def test_nothing_else_is_raised(self, text: str) -> None:
        try:
            said = within("a {prompt}, (b:1.2)", text)
        except RequestRejected:
            return
        assert parse(said).to_text() == said


class TestEmbeddings:
    @pytest.mark.parametrize("prompt", ["neon-boat", "a (Neon-Boat:1.2), b", "a::neon-boat"])
    def test_a_name_is_a_whole_word(self, prompt: str) -> None:
        assert embeddings_in(prompt, {"neon-boat", "boat", "neon", "a_b"}) == ("neon-boat",)

    def test_each_once_and_in_order(self) -> None:
        assert embeddings_in("b_2 a1, b_2", ["b_2", "c", "a1"]) == ("a1", "b_2")


def seconds(work: Callable[[str], object], text: str, *, times: int = 1) -> float:
    """Of this thread alone, and without the garbage collector's: the machine and the process are busy with others."""

    def once() -> None:
        with contextlib.suppress(RequestRejected):
            work(text)

    return timeit.timeit(once, number=times, timer=time.thread_time)


@pytest.mark.parametrize(
    "piece",
    [
        "(",
        ")",
        "[",
        "(a",
        "(a)",
        "([",
        "[(",
        "([)",
        "\\",
        ":",
        ":1",
        "1",
        "a::1",
        "1.",
        "(a:1",
        ", ",
        "{a}",
        "{",
        "{,",
        " ",
    ],
)
@pytest.mark.parametrize(
    "work", [parse, expand, lambda text: within("a {prompt} b", text)], ids=["parse", "expand", "within"]
)
def test_time_is_linear(work: Callable[[str], object], piece: str) -> None:
    """Sixteen times the text takes nowhere near sixteen times as long as sixteen such texts.

    Both sides take about as long and come by turns, so that whatever makes the machine slow makes both slow.
    """
    short, long = (piece * (length // len(piece)) for length in (2_000, 32_000))
    turns = [(seconds(work, long), seconds(work, short, times=16)) for _ in range(4)]
    at_once, apart = map(min, zip(*turns, strict=True))
    assert at_once < 6 * max(apart, 3e-3)
