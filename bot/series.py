"""Several jobs from one prompt: what its braces and `--repeat` make of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from bot.compose import DEFAULT_COUNT
from bot.flag_table import MAX_REPEAT
from bot.flags import FlagParser, Request
from generation.errors import RequestRejected
from generation.prompt_language import expand
from generation.recipe import MAX_SEED

MAX_JOBS = MAX_REPEAT


class TooManyAtOnce(RequestRejected):
    """Braces and `--repeat` together make too many jobs. Fields: `count`, `limit`."""

    key = "too_many_at_once"


class OneJobOnly(RequestRejected):
    """Braces or `--repeat` make several jobs where only one can be ordered. Fields: `count`."""

    key = "one_job_only"


def series_of(
    parser: FlagParser, text: str, options: Mapping[str, object] | None = None, *, wordless: bool = False
) -> tuple[Request, ...]:
    """One request for each job that a typed text makes, in order; `options` and `wordless` as in `FlagParser.parse`.

    Braces are expanded in the whole text, flags included. Raises a leaf of `RequestRejected`.
    """
    requests = [parser.parse(one, options, wordless=wordless) for one in expand(text, MAX_JOBS)]
    count = sum(request.repeat or 1 for request in requests)
    if count > MAX_JOBS:
        raise TooManyAtOnce(count=count, limit=MAX_JOBS)
    return tuple(job for request in requests for job in _repeated(request))


def only_one(parser: FlagParser, text: str) -> Request:
    """The one job that a typed text makes. Raises what `series_of` raises, or `OneJobOnly`."""
    requests = series_of(parser, text)
    if len(requests) > 1:
        raise OneJobOnly(count=len(requests))
    return requests[0]


def _repeated(request: Request) -> Iterator[Request]:
    """The request as often as it says. From a named seed the jobs count on, so that no picture is drawn twice."""
    for number in range(request.repeat or 1):
        seed = request.seed
        if seed is not None:
            seed = (seed + number * (request.count or DEFAULT_COUNT)) % (MAX_SEED + 1)
        yield replace(request, seed=seed, repeat=None)
