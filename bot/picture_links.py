"""Links among the words of a prompt that stand for a picture: to a file on Discord's CDN, or to a message. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from yarl import URL

from bot.cdn import LinkRefused, address
from generation.errors import RequestRejected

_LINK = re.compile(r"https?:[/\\]{2}\S+", re.IGNORECASE)
_MESSAGE = re.compile(
    r"https://(?:canary\.|ptb\.)?discord(?:app)?\.com/channels/(@me|[0-9]{1,20})/([0-9]{1,20})/([0-9]{1,20})/?",
    re.ASCII,
)
# Whoever writes an address that ends so means a picture; any other address is words.
_PICTURE = re.compile(r"[^?#]*\.(?:png|jpe?g|jfif|webp|gif|apng|bmp|avif|heic|tiff?|svg)(?:[?#]|$)", re.IGNORECASE)


class TwoPictures(RequestRejected):
    """More than one picture to start from was brought."""

    key = "two_pictures"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLink:
    """A link to a message. `guild_id` is None for one among direct messages."""

    guild_id: int | None
    channel_id: int
    message_id: int


PictureLink = URL | MessageLink


def take_link(text: str, hosts: frozenset[str]) -> tuple[str, PictureLink | None]:
    """A prompt → the prompt without its link to a picture, and the link; `hosts` are the CDN's.

    Discord shows a link in angle brackets without a preview, so they may stand around it. Raises `LinkRefused` for a
    link to a picture elsewhere, and `TwoPictures`.
    """
    words, links = [], []
    for word in text.split():
        link = _link(word.removeprefix("<").removesuffix(">"), hosts)
        if link is None:
            words.append(word)
        else:
            links.append(link)
    if len(links) > 1:
        raise TwoPictures
    return (" ".join(words), links[0]) if links else (text, None)


def _link(word: str, hosts: frozenset[str]) -> PictureLink | None:
    if not _LINK.fullmatch(word):
        return None
    if message := _MESSAGE.fullmatch(word):
        guild, channel, number = message.groups()
        guild_id = None if guild == "@me" else int(guild)
        return MessageLink(guild_id=guild_id, channel_id=int(channel), message_id=int(number))
    try:
        return address(word, hosts)
    except LinkRefused:
        if _PICTURE.match(word) or any(host in word.lower() for host in hosts):
            raise
        return None
