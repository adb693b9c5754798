"""What can be wrong with a prompt and its flags.

RequestRejected
├── UnknownFlag            no flag of that name
├── FlagValueMissing       a flag without its value
├── FlagValueInvalid       a value that the flag does not take
├── FlagTakesNoValue       `--raw=yes`
├── FlagRepeated           the same flag twice
├── FlagAgainstOption      a flag and its slash option
├── TooManyLoras           more than four
├── TooManySteps           steps times quality
├── NoDraft                `--draft` with a model that has no few-step path
├── NoRefiner              `--refine` with a model that has none
├── StrengthWithoutPicture `--strength` without a picture to start from
├── HiresAgainstPicture    `--hires` with a picture to start from
├── PictureTooLong         a picture to start from whose shape no model draws, and no `--ar`
├── PromptEmpty            nothing but flags
└── PromptTooLong          over the server's limit
"""

from __future__ import annotations

from generation.errors import RequestRejected


class UnknownFlag(RequestRejected):
    """No flag has that name. Fields: `flag`, `nearest` (or '')."""

    key = "unknown_flag"


class FlagValueMissing(RequestRejected):
    """A flag stands without its value. Fields: `flag`, `example`."""

    key = "flag_value_missing"


class FlagValueInvalid(RequestRejected):
    """A flag or its slash option does not take that value. Fields: `flag`, `value`, `allowed`."""

    key = "flag_value_invalid"


class FlagTakesNoValue(RequestRejected):
    """A flag that takes no value was given one. Fields: `flag`, `value`."""

    key = "flag_takes_no_value"


class FlagRepeated(RequestRejected):
    """The same thing is said twice, by `first` and then by `flag`. Fields: `first`, `flag`."""

    key = "flag_repeated"


class FlagAgainstOption(RequestRejected):
    """A flag and its slash option were both given. Fields: `flag`, `option`."""

    key = "flag_against_option"


class TooManyLoras(RequestRejected):
    """More LoRAs at once than a picture can have. Fields: `limit`."""

    key = "too_many_loras"


class TooManySteps(RequestRejected):
    """The steps times the quality are more than a picture can have. Fields: `steps`, `limit`."""

    key = "too_many_steps"


class NoDraft(RequestRejected):
    """The model cannot draw in a few steps. Fields: `model`."""

    key = "no_draft"


class NoRefiner(RequestRejected):
    """The model has no refiner. Fields: `model`."""

    key = "no_refiner"


class StrengthWithoutPicture(RequestRejected):
    """How far to move from a picture, but no picture."""

    key = "strength_without_picture"


class HiresAgainstPicture(RequestRejected):
    """A second pass on a larger picture is for what is drawn from words alone."""

    key = "hires_against_picture"


class PictureTooLong(RequestRejected):
    """The picture to start from is longer than models draw. Fields: `widest` (how many times as wide as high)."""

    key = "picture_too_long"


class PromptEmpty(RequestRejected):
    """Nothing is left of the prompt when the flags are taken out."""

    key = "prompt_empty"


class PromptTooLong(RequestRejected):
    """The prompt is over the server's limit. Fields: `length`, `limit`."""

    key = "prompt_too_long"
