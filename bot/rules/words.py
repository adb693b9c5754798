"""Blocked words: those of the server, and the list that comes with the program unless the server does without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from bot.word_filter.defaults import default_words
from bot.word_filter.word_filter import WordFilter
from generation.errors import RequestRejected
from generation.prompt_language import parse

if TYPE_CHECKING:
    from bot.moderator_notices import ModeratorNotices
    from bot.orders import Customer
    from generation.job import NewJob
    from generation.recipe import Recipe
    from storage.blocked_words import BlockedWords

NOTED_LENGTH = 300  # characters of a refused prompt that moderators are shown
FILTERS_KEPT = 256  # servers whose words are ready to be looked for


class WordRefused(RequestRejected):
    """The prompt holds a blocked word. Fields: `word`, as it was blocked."""

    key = "word_refused"


class WordRule:
    """Looks at what is to be drawn: prompts, and the words for masks. What is to be left out may be named freely."""

    def __init__(self, words: BlockedWords, notices: ModeratorNotices) -> None:
        self._words = words
        self._notices = notices

    async def check(self, customer: Customer, new: Sequence[NewJob]) -> None:
        """Raises `WordRefused`, and the server's moderators are told."""
        blocked = await self._blocked(customer.guild_id)
        for text in dict.fromkeys(text for job in new for text in _texts(job)):
            word = _filter(blocked).find(text)
            if word is not None:
                details = {"word": word, "prompt": text[:NOTED_LENGTH]}
                await self._notices.tell(customer.guild_id, "words.refused", about=customer.user_id, details=details)
                raise WordRefused(word=word)

    async def _blocked(self, guild_id: int | None) -> tuple[str, ...]:
        if guild_id is None:
            return default_words()
        server = await self._words.of(guild_id)
        return (*(default_words() if server.defaults else ()), *server.words)


def _texts(job: NewJob) -> list[str]:
    return [text for recipe in job.recipes for text in _texts_of(recipe)]


def _texts_of(recipe: Recipe) -> Iterator[str]:
    """A prompt as it was typed, and as it is read when weights have gone: brackets may stand within a word."""
    yield recipe.prompt
    yield parse(recipe.prompt).text
    # What a negative prompt has with a negative weight is asked for.
    yield from (part.text for part in parse(recipe.negative_prompt).parts if part.weight < 0)
    if recipe.mask is not None and recipe.mask.words:
        yield recipe.mask.words


_filter = lru_cache(maxsize=FILTERS_KEPT)(WordFilter)
