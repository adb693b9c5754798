"""What can be wrong with the words of a prompt.

RequestRejected
├── WordWeightInvalid        `(a:1,3)`, `(a:9)`: no number, or too far from 1
├── WeightInSquareBrackets   `[a:0.5]`
├── PartWeightInvalid        `a::1,5 b`, `a::500 b`
├── PartWithoutWords         `::2` with nothing before it
├── PartsInBrackets          `(a:: b)`
├── PartsOutweighed          the weights of a multi-prompt's parts come to 0 or less
├── TooManyParts             more than are blended
├── TooManyWeights           more different weights of words than one prompt needs
├── BracesUnbalanced         a `{` or `}` without its other half
├── BracesTooDeep            braces in braces in braces …
└── TooManyPermutations      `{…}` make more prompts than allowed
"""

from __future__ import annotations

from generation.errors import RequestRejected


class WordWeightInvalid(RequestRejected):
    """The weight of words in brackets is no number, or out of range. Fields: `weight`, `allowed`."""

    key = "word_weight_invalid"


class WeightInSquareBrackets(RequestRejected):
    """A number stands where only `(…)` takes one. Fields: `weight`."""

    key = "weight_in_square_brackets"


class PartWeightInvalid(RequestRejected):
    """The weight of a multi-prompt's part is no number, or out of range. Fields: `weight`, `allowed`."""

    key = "part_weight_invalid"


class PartWithoutWords(RequestRejected):
    """A part of a multi-prompt has a weight and no words. Fields: `weight`."""

    key = "part_without_words"


class PartsInBrackets(RequestRejected):
    """`::` stands inside brackets, where it cannot part the prompt."""

    key = "parts_in_brackets"


class PartsOutweighed(RequestRejected):
    """The weights of a multi-prompt's parts do not come to more than 0. Fields: `total`."""

    key = "parts_outweighed"


class TooManyParts(RequestRejected):
    """A multi-prompt has more parts than are blended. Fields: `limit`."""

    key = "too_many_parts"


class TooManyWeights(RequestRejected):
    """The words of a prompt have more different weights than one prompt needs. Fields: `limit`."""

    key = "too_many_weights"


class BracesUnbalanced(RequestRejected):
    """A brace lacks its other half. Fields: `brace`, `place` (some text from it on)."""

    key = "braces_unbalanced"


class BracesTooDeep(RequestRejected):
    """Braces stand in too many others. Fields: `limit`."""

    key = "braces_too_deep"


class TooManyPermutations(RequestRejected):
    """The braces make too many prompts. Fields: `count` (of prompts, `> 1000000` beyond that), `limit`."""

    key = "too_many_permutations"
