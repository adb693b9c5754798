"""Forms. What one is about stands in its custom_id, as with buttons, so that they outlive restarts too."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

import discord

if TYPE_CHECKING:
    from bot.client import Interaction

MAX_TITLE = 45  # characters, by Discord's rules
MAX_TEXT = 4000  # of one text field


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a form came back with, by the custom_ids of its fields: texts as typed, and links to the files.

    A field that was left empty, or that is not there at all, has no link, and the text ''.
    """

    texts: Mapping[str, str]
    links: Mapping[str, str]


class LimnerDialog(discord.ui.Modal):
    """A form that outlives restarts: it is made anew from its custom_id when it comes back.

    Subclasses name their custom_ids by `template`. Answering never fails silently: see `LimnerTree.submit`.
    """

    template: ClassVar[re.Pattern[str]]

    def __init_subclass__(cls, *, template: re.Pattern[str]) -> None:
        cls.template = template
        super().__init_subclass__()

    def __init__(self, custom_id: str, title: str) -> None:
        super().__init__(title=title[:MAX_TITLE], custom_id=custom_id)

    @classmethod
    async def answer(cls, interaction: Interaction, match: re.Match[str], answers: Answers) -> None:
        """What is done with a form that came back; `match` is of `template`. Raises `RequestRejected`."""
        raise NotImplementedError

    def add_field(self, label: str, field: discord.ui.Item[Self], *, description: str | None = None) -> None:
        """A text input, a select or a file upload under its label."""
        self.add_item(discord.ui.Label(text=label, component=field, description=description))

    async def show(self, interaction: Interaction) -> None:
        """Answer with the form. It must be the first answer."""
        self.stop()  # discord.py remembers no finished form: `LimnerClient.on_interaction` takes it back
        await interaction.response.send_modal(self)


def text_field(
    custom_id: str, *, default: str | None = None, required: bool = True, long: bool = True
) -> discord.ui.TextInput[Any]:
    """A field for words."""
    return discord.ui.TextInput(
        custom_id=custom_id,
        style=discord.TextStyle.paragraph if long else discord.TextStyle.short,
        default=default[:MAX_TEXT] if default else None,
        required=required,
        max_length=MAX_TEXT,
    )


def answers_of(interaction: Interaction) -> Answers:
    """Read what came back, as Discord sends it."""
    data = cast(dict[str, Any], interaction.data)
    texts: defaultdict[str, str] = defaultdict(str)
    links: dict[str, str] = {}
    for field in _fields(data.get("components")):
        name = str(field["custom_id"])
        if "value" in field:
            texts[name] = str(field["value"] or "")
        elif field.get("type") == discord.ComponentType.file_upload.value:
            links.update((name, link) for link in _links(field.get("values"), data.get("resolved"))[:1])
    return Answers(texts=texts, links=links)


def _fields(components: object) -> Iterable[dict[str, Any]]:
    """The fields inside of labels and rows. What has another shape was not sent by a form of ours, and is no field."""
    for component in components if isinstance(components, list) else ():
        if isinstance(component, dict):
            if "custom_id" in component:
                yield component
            yield from _fields(component.get("components"))
            yield from _fields([component.get("component")])


def _links(chosen: object, resolved: object) -> list[str]:
    """The links of the files that were put into a field."""
    files = resolved.get("attachments") if isinstance(resolved, dict) else None
    if not isinstance(chosen, list) or not isinstance(files, dict):
        return []
    found = [files[file_id] for file_id in chosen if isinstance(file_id, str) and file_id in files]
    return [str(file["url"]) for file in found if isinstance(file, dict) and "url" in file]
