"""Which of the blocked words a prompt holds, as whole words, however they are written.

A word is found in other cases, widths and alphabets (`fold`), with digits and signs for letters (`n00dle5`), with its
letters apart (`n o o d l e s`, `n.o.o.d.l.e.s`) or signs between them (`noo-dles`). It is not found inside of another
word: who blocks `ass` has not blocked `grass`. Scripts that put no spaces between words are the exception.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from bot.word_filter.folding import fold

# What people write for a letter. Where a sign stands for several letters, each is tried.
_STANDS_FOR: Mapping[str, str] = {
    "0": "o", "1": "il", "2": "z", "3": "e", "4": "a", "5": "s", "6": "gb", "7": "t", "8": "b", "9": "g",
    "@": "a", "$": "s", "!": "i", "|": "il", "+": "t", "€": "e", "£": "l", "¢": "c",
}  # fmt: skip
_SIGNS = re.escape("".join(sign for sign in _STANDS_FOR if not sign.isdigit()))
# A run of letters, digits and signs that stand for letters.
_RUN = re.compile(rf"(?:[^\W_]|[{_SIGNS}])+")
_WORD = re.compile(r"[^\W_]+")
# Letters that one sign may stand for are one in an outline: i and l (1), g and b (6).
_OUTLINES = {ord("l"): "i", ord("g"): "b"} | {
    ord(sign): letters[0].translate({ord("l"): "i", ord("g"): "b"}) for sign, letters in _STANDS_FOR.items()
}
# A capital I after a small letter is meant to be read as l.
_CAPITAL_I = re.compile(r"(?<=[a-z])I+")
# Put between letters to hide a word; spaces are not among them.
_HYPHENS = "-‐‑‒–—―._*~'’·•/\\,"
_WITHOUT_HYPHENS = {ord(sign): None for sign in _HYPHENS}
# So many letters apart are a word that somebody hides; two may be initials. Longer words are not looked for.
_LEAST_APART, _MOST_APART = 3, 30
# Han, Hiragana, Katakana, Thai, Lao, Khmer, Myanmar: words follow each other without a space.
_UNSPACED = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


def normal_form(word: str) -> str:
    """A blocked word as it is compared: folded, single spaces. Two words with the same form are the same word."""
    return " ".join(_runs(fold(word)))


class WordFilter:
    """A set of blocked words and phrases. Immutable; finding takes time linear in the text."""

    def __init__(self, words: Iterable[str]) -> None:
        """`words` as moderators wrote them; one without a letter or digit in it blocks nothing."""
        self._phrases: dict[str, list[tuple[tuple[str, ...], str]]] = {}  # by the outline of their first word
        self._solid: dict[str, list[tuple[str, str]]] = {}  # by the outline of all of it, without spaces
        self._unspaced: list[tuple[str, str]] = []
        for word in dict.fromkeys(words):
            parts = tuple(normal_form(word).split())
            solid = "".join(parts)
            if _UNSPACED.search(solid):
                self._unspaced.append((solid, word))
            elif parts:
                self._phrases.setdefault(_outline(parts[0]), []).append((parts, word))
                if _LEAST_APART <= len(solid) <= _MOST_APART:
                    self._solid.setdefault(_outline(solid), []).append((solid, word))

    def find(self, text: str) -> str | None:
        """The first blocked word that is in the text, as moderators wrote it, or None."""
        found = self._find_folded(fold(text))
        lowered = _CAPITAL_I.sub(lambda match: "l" * len(match.group()), text)
        return found if found is not None or lowered == text else self._find_folded(fold(lowered))

    def _find_folded(self, folded: str) -> str | None:
        for tokens in _readings(folded):
            if (found := self._find_phrase(tokens) or self._find_spelled(tokens)) is not None:
                return found
        joined = "".join(_runs(folded)) if self._unspaced else ""
        return next((word for form, word in self._unspaced if form in joined), None)

    def _find_phrase(self, tokens: Sequence[str]) -> str | None:
        for place, token in enumerate(tokens):
            for parts, word in self._phrases.get(_outline(token), ()):
                written = tokens[place : place + len(parts)]
                if len(written) == len(parts) and all(map(_is_written, written, parts)):
                    return word
        return None

    def _find_spelled(self, tokens: Sequence[str]) -> str | None:
        """The longest word among single letters in a row; one before or after it may be a word of its own ("a")."""
        for letters in _letters_apart(tokens):
            outline = _outline(letters)
            for start in range(len(letters)):
                for end in range(min(start + _MOST_APART, len(letters)), start + _LEAST_APART - 1, -1):
                    for solid, word in self._solid.get(outline[start:end], ()):
                        if _is_written(letters[start:end], solid):
                            return word
        return None


def _runs(folded: str) -> list[str]:
    """Words whose signs may be letters; signs alone are none."""
    return [run for run in _RUN.findall(folded) if _WORD.search(run)]


def _readings(folded: str) -> Iterator[Sequence[str]]:
    """The words of a text, in each of the ways in which they may be meant."""
    yield _RUN.findall(folded)  # signs are letters, also those that stand alone: a $ $
    yield _runs(folded)  # or those within words: a$$ + b0w
    yield _WORD.findall(folded)  # signs are signs: noodles!
    yield _runs(folded.translate(_WITHOUT_HYPHENS))  # signs hide what they stand in: noo-dles


def _letters_apart(tokens: Sequence[str]) -> Iterator[str]:
    """The single letters that follow each other, joined."""
    run = ""
    for token in (*tokens, ""):
        if len(token) == 1:
            run += token
            continue
        if len(run) >= _LEAST_APART:
            yield run
        run = ""


def _outline(token: str) -> str:
    """The same for all writings of a word, and seldom for two words."""
    return token.translate(_OUTLINES)


def _is_written(token: str, word: str) -> bool:
    """Whether that is a writing of the word. Numbers are none of a word without digits: 1011 is a year."""
    if token == word:
        return True
    return (
        len(token) == len(word)
        and any(map(str.isalpha, token))
        and all(sign == letter or letter in _STANDS_FOR.get(sign, "") for sign, letter in zip(token, word, strict=True))
    )
