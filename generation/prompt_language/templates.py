"""Templates around prompts, and the names of textual inversions among their words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from generation.prompt_language.parsing import parse
from generation.prompt_language.tree import Fragment, Part, Prompt

PLACEHOLDER = "{prompt}"

# A word as embeddings are called: letters, digits, underscores, and hyphens within.
WORD = re.compile(r"\w++(?:-++\w++)*+")


def within(template: str, prompt: str, *, weight: float = 1.0) -> str:
    """The prompt with the template's words around each of its parts; `{prompt}` stands for it, once.

    Brackets in the template act on the prompt that stands in them. `weight` (0 to 3) multiplies the weights of the
    template's own words. Where neither holds any syntax, this is the template with the prompt put in.
    Raises what `parse` raises, also for weights that multiply to more than is allowed.
    """
    inner = parse(prompt).parts or (Part(fragments=()),)
    parts: list[Part] = []
    for part in parse(template).parts:
        if PLACEHOLDER not in part.text:
            parts.append(Part(fragments=tuple(_weighted(part.fragments, weight)), weight=part.weight))
            continue
        parts += [Part(fragments=tuple(_filled(part, one, weight)), weight=part.weight * one.weight) for one in inner]
    return Prompt.of(parts).to_text()


def embeddings_in(prompt: str, names: Collection[str]) -> tuple[str, ...]:
    """Which of these names stand among the words of a prompt, in alphabetical order; case does not count."""
    found = {match[0].lower() for match in WORD.finditer(prompt)}
    return tuple(sorted(name for name in names if name.lower() in found))


def _filled(outer: Part, inner: Part, weight: float) -> Iterator[Fragment]:
    for fragment in outer.fragments:
        before, placeholder, after = fragment.text.partition(PLACEHOLDER)
        yield Fragment(text=before, weight=fragment.weight * weight)
        if placeholder:
            yield from _weighted(inner.fragments, fragment.weight)
            yield Fragment(text=after, weight=fragment.weight * weight)


def _weighted(fragments: tuple[Fragment, ...], weight: float) -> Iterator[Fragment]:
    return (Fragment(text=fragment.text, weight=fragment.weight * weight) for fragment in fragments)
