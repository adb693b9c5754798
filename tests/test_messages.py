"""Words for everything, in every language."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bot
import generation
import storage
from bot.errors import ending_words, words
from bot.flag_table import flag_table
from bot.messages import Messages, load_messages, quotable
from generation.errors import LimnerError, ModelUnavailable, UnknownName
from storage.errors import OutOfCredits

# torch must stay out of this process, and these do something when they are imported.
NOT_IMPORTED = re.compile(
    r"generation\.(painter|pocket|engine\.worker)|.*\.__main__|storage\.migrations\.(env|versions)"
)
MESSAGES = load_messages()
LOCALES = MESSAGES.locales
NOW = datetime(2026, 3, 14, tzinfo=UTC)
UNFORESEEN = re.compile("`[0-9a-f]{8}`")  # the reference of an error that could not be worded


def all_errors() -> list[type[LimnerError]]:
    for package in (bot, generation, storage):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not NOT_IMPORTED.match(module.name):
                importlib.import_module(module.name)

    def leaves(kind: type[LimnerError]) -> Iterator[type[LimnerError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from leaves(child)

    ours = ("bot.", "generation.", "storage.")
    return sorted({kind for kind in leaves(LimnerError) if kind.__module__.startswith(ours)}, key=lambda kind: kind.key)


def documented_fields(kind: type[LimnerError]) -> set[str]:
    """`Fields: `place` (file or variable), `key`.` → place, key."""
    _, _, fields = (kind.__doc__ or "").partition("Fields:")
    return set(re.findall(r"`([a-z_]+)`", fields))


ERRORS = all_errors()


def sentences(kind: type[LimnerError]) -> list[str]:
    """The keys of all sentences of an error."""
    key = f"errors.{kind.key}"
    return [known for known in MESSAGES.keys_of("en") if known == key or known.startswith(f"{key}.")]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_has_words_that_use_its_fields(kind: type[LimnerError]) -> None:
    assert sentences(kind), f"{kind.__name__} has no words under errors.{kind.key}"
    for locale in LOCALES:
        for key in sentences(kind):
            assert MESSAGES.placeholders(key, locale) <= documented_fields(kind)


def test_no_two_errors_share_their_words() -> None:
    keys = [kind.key for kind in ERRORS]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_every_error_is_worded(kind: type[LimnerError]) -> None:
    for variant in ("", "something"):
        for thing in ("style", "lora", "embedding", "model"):
            fields: dict[str, object] = {
                name: variant if name == "nearest" else NOW if name == "until" else "x"
                for name in documented_fields(kind)
            }
            if "kind" in fields:
                fields["kind"] = thing
            said = words(kind(**fields), MESSAGES, "en")
            assert said
            assert "{" not in said
            assert not UNFORESEEN.search(said)


def test_no_words_are_left_over() -> None:
    known = {key for kind in ERRORS for key in sentences(kind)}
    assert {key for key in MESSAGES.keys_of("en") if key.startswith("errors.")} - known == {"errors.unforeseen"}


@pytest.mark.parametrize("locale", LOCALES)
def test_every_language_says_everything(locale: str) -> None:
    assert MESSAGES.keys_of(locale) == MESSAGES.keys_of("en")
    for key in MESSAGES.keys_of(locale):
        assert MESSAGES.placeholders(key, locale) == MESSAGES.placeholders(key, "en")


def test_every_flag_has_help() -> None:
    assert {f"flags.{flag.name}" for flag in flag_table(max_steps=60, max_text=2000)} == {
        key for key in MESSAGES.keys_of("en") if key.startswith("flags.")
    }


def test_an_unknown_name_gets_the_nearest() -> None:
    assert words(UnknownName(kind="style", name="inc", nearest="ink"), MESSAGES, "en-US") == (
        "There is no style `inc`. Did you mean `ink`?"
    )
    assert "`inc`" in words(UnknownName(kind="style", name="inc", nearest=""), MESSAGES)


def test_out_of_credits_says_cost_rest_and_when_it_renews() -> None:
    error = OutOfCredits(cost=4, available=1, renews_at=datetime(2026, 3, 15, tzinfo=UTC))
    said = words(error, MESSAGES, "en")
    assert all(part in said for part in ("4", "1", "<t:1773532800:R>"))


def test_an_unforeseen_error_gets_a_reference_and_keeps_its_details_to_itself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = words(RuntimeError("secret detail"), MESSAGES, "en")
    assert "secret" not in said
    reference = re.search(r"`([0-9a-f]{8})`", said)
    assert reference
    assert reference[1] in capsys.readouterr().out


def test_an_error_without_its_fields_is_unforeseen_too() -> None:
    assert re.search("`[0-9a-f]{8}`", words(UnknownName(kind="song", name="la", nearest=""), MESSAGES, "en"))
    assert re.search("`[0-9a-f]{8}`", words(OutOfCredits(), MESSAGES, "en"))


def test_endings_have_words_and_unknown_ones_too() -> None:
    assert ending_words("out_of_memory", MESSAGES) != ending_words("error", MESSAGES)
    assert ending_words("something_new", MESSAGES) == ending_words("error", MESSAGES)


@given(st.text(), st.text())
def test_what_people_typed_cannot_leave_its_code_span_or_fill_placeholders(name: str, reason: str) -> None:
    said = words(ModelUnavailable(name=name, reason=reason), MESSAGES, "en")
    assert said.count("`") == 2
    for typed in sorted((quotable(name), quotable(reason)), key=len, reverse=True):  # one may stand in the other
        said = said.replace(typed, "")
    assert "{" not in said


def test_the_language_falls_back_to_its_main_form_and_then_to_english() -> None:
    messages = Messages({"en": {"a": "hello", "b": "bye"}, "pt-BR": {"a": "oi"}, "pt": {"a": "olá", "b": "adeus"}})
    assert messages.say("a", "pt-BR") == "oi"
    assert messages.say("b", "pt-BR") == "adeus"
    assert messages.say("a", "pt-PT") == "olá"
    assert messages.say("a", "ja") == "hello"
    assert messages.say("a") == "hello"


def test_a_missing_field_or_key_is_a_mistake_of_the_program() -> None:
    messages = Messages({"en": {"a": "hello {name}"}})
    with pytest.raises(KeyError):
        messages.say("a", "en")
    with pytest.raises(KeyError):
        messages.say("b", "en")


def test_words_that_depend_on_a_number() -> None:
    messages = Messages(
        {"en": {"a": {"one": "1 boat", "other": "{count} boats"}}, "zh-CN": {"a": {"other": "{count} 艘船"}}}
    )
    assert [messages.say("a", "en", count=count) for count in (0, 1, 2)] == ["0 boats", "1 boat", "2 boats"]
    assert messages.say("a", "zh-CN", count=1) == "1 艘船"
