"""The styles that come with Limner, and mistakes in a file of styles."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.config import PROGRAM_FOLDER
from generation.pocket.captions import STYLE_WORDS
from generation.pocket.scenes import COLOURS
from generation.recipe import LoraUse
from generation.styles import StylesInvalid, load_styles

SHIPPED = PROGRAM_FOLDER / "generation" / "styles.toml"
GOOD = 'template = "ink, {prompt}"\ndescription = "Ink"\n'


def test_there_are_many_and_each_changes_the_prompt_in_its_own_way() -> None:
    styles = load_styles(SHIPPED)
    assert len(styles) >= 12
    assert len({style.template for style in styles.values()}) == len(styles)
    assert all(style.negative_prompt and style.description for style in styles.values())


def test_the_looks_of_the_pocket_model_use_the_words_it_was_trained_on_and_no_colours() -> None:
    pocket = {name: style for name, style in load_styles(SHIPPED).items() if style.pocket}
    assert set(pocket) == {"ink", "pastel", "pixel"}
    for name, style in pocket.items():
        assert any(words in style.template for words in STYLE_WORDS[name])  # type: ignore[index]
        without_black_and_white = style.template.replace("black and white", "").split()
        assert not set(COLOURS) & {word.strip(",") for word in without_black_and_white}


def test_a_style_may_bring_loras(tmp_path: Path) -> None:
    file = tmp_path / "styles.toml"
    file.write_text(f"[ink]\n{GOOD}loras = {{ brush = 0.5 }}\n")
    assert load_styles(file)["ink"].loras == (LoraUse(name="brush", weight=0.5),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"[Ink]\n{GOOD}", "a name has letters"),
        (f"[raw]\n{GOOD}", "is not raw"),
        ("ink = 3", "a style is a table"),
        (f"[ink]\n{GOOD}negative = 'x'", "there is no key negative"),
        (f"[ink]\n{GOOD}pocket = 'yes'", "pocket has the wrong type"),
        ('[ink]\ndescription = "Ink"', "template must hold {prompt} once"),
        ('[ink]\ntemplate = "ink"\ndescription = "Ink"', "template must hold {prompt} once"),
        ('[ink]\ntemplate = "{prompt} {prompt}"\ndescription = "Ink"', "template must hold {prompt} once"),
        ('[ink]\ntemplate = "{prompt} {style}"\ndescription = "Ink"', "no other braces"),
        ('[ink]\ntemplate = "{prompt}"', "description has"),
        (f"[ink]\n{GOOD}loras = {{ brush = 3 }}", "weight is a number"),
        (f"[ink]\n{GOOD}loras = {{ brush = 'much' }}", "weight is a number"),
        (f"[ink]\n{GOOD}loras = {{ a = 1, b = 1, c = 1, d = 1, e = 1 }}", "up to 4 LoRAs"),
        ("[ink", ""),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, reason: str) -> None:
    file = tmp_path / "styles.toml"
    file.write_text(text)
    with pytest.raises(StylesInvalid) as caught:
        load_styles(file)
    assert reason in str(caught.value.fields["reason"])


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(StylesInvalid):
        load_styles(tmp_path / "none.toml")
