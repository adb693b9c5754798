"""Commands, options and menus in the words of the message catalogue, in every language that there is."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import discord
from discord import app_commands

from bot.messages import FALLBACK, Messages

Callback = Callable[..., Coroutine[Any, Any, None]]
Command: TypeAlias = "app_commands.Command[Any, ..., None]"
Menu: TypeAlias = app_commands.ContextMenu


class Texts:
    """Makes commands. What `/quota set` does stands in the catalogue as `commands.quota_set`, what its option `credits`
    means as `commands.quota_set_credits`, or as `commands.quota_credits` where several commands have it.
    """

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    def command(self, key: str, callback: Callback) -> Command:
        """A command named by the last word of `key`, with the options of `callback`."""
        options = list(callback.__annotations__)[1:-1]  # without the interaction and what is returned
        app_commands.describe(**{option: self._option(key, option) for option in options})(callback)
        return app_commands.Command(
            name=key.rpartition("_")[2], description=self.text(f"commands.{key}"), callback=callback
        )

    def menu(self, key: str, callback: Callback) -> Menu:
        """An entry of the menu of messages (right click), named as the catalogue says under `menus`."""
        return app_commands.ContextMenu(name=self.text(f"menus.{key}"), callback=callback)

    def text(self, key: str) -> app_commands.locale_str:
        """A sentence that `CatalogueTranslator` knows by its key."""
        return app_commands.locale_str(self._messages.say(key), key=key)

    def _option(self, key: str, option: str) -> app_commands.locale_str:
        while not self._messages.has(f"commands.{key}_{option}"):
            key = key.rpartition("_")[0]  # ends in a KeyError below if it stands nowhere
            if not key:
                break
        return self.text(f"commands.{key}_{option}")


class CatalogueTranslator(app_commands.Translator):
    """Gives Discord each sentence of `Texts` in the languages that the catalogue has besides English."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    async def translate(
        self, string: app_commands.locale_str, locale: discord.Locale, context: app_commands.TranslationContextTypes
    ) -> str | None:
        key, language = string.extras.get("key"), locale.value.lower()
        if key is None or language == FALLBACK or language not in self._messages.locales:
            return None
        return self._messages.say(key, language)
