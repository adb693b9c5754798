"""What a member set once for all their orders: style, aspect, model, stylize, relax, and whether dialogs come up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bot.flag_values import RAW
from bot.flags import Request
from bot.rules.relax import RelaxOff
from generation.aspect import parse_aspect
from generation.errors import InvalidAspect
from generation.job import Priority
from generation.weights import check_weights

if TYPE_CHECKING:
    from generation.catalogue import Catalogue
    from storage.storage import Storage

KEY = "defaults"
MAX_STYLIZE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDefaults:
    """None where the member left it to the server. `aspect` is as it is typed (`3:2`)."""

    style: str | None = None
    aspect: str | None = None
    model: str | None = None
    stylize: int | None = None
    remix: bool = False
    relax: bool = False

    @classmethod
    def read(cls, stored: Any, catalogue: Catalogue) -> MemberDefaults:
        """What storage holds, without what is not there any more: a default shall never be what refuses an order."""
        values = stored if isinstance(stored, dict) else {}
        style, aspect, model = values.get("style"), values.get("aspect"), values.get("model")
        stylize = values.get("stylize")
        return cls(
            style=style if isinstance(style, str) and (style == RAW or style in catalogue.styles) else None,
            aspect=aspect if isinstance(aspect, str) and _is_aspect(aspect) else None,
            model=model if isinstance(model, str) and model in catalogue.models else None,
            stylize=stylize
            if isinstance(stylize, int) and not isinstance(stylize, bool) and 0 <= stylize <= MAX_STYLIZE
            else None,
            remix=values.get("remix") is True,
            relax=values.get("relax") is True,
        )

    def stored(self) -> dict[str, Any] | None:
        """As JSON; None if nothing is set."""
        values = {
            "style": self.style,
            "aspect": self.aspect,
            "model": self.model,
            "stylize": self.stylize,
            "remix": self.remix or None,
            "relax": self.relax or None,
        }
        return {name: value for name, value in values.items() if value is not None} or None

    @property
    def priority(self) -> Priority:
        """The class of orders that name none."""
        return Priority.RELAX if self.relax else Priority.FAST

    def applied_to(self, request: Request, *, starts_from_picture: bool = False) -> Request:
        """The request with the defaults where it says nothing. A picture to start from brings its own shape."""
        aspect = None if self.aspect is None or starts_from_picture else parse_aspect(self.aspect)
        return replace(
            request,
            style=self.style if request.style is None else request.style,
            aspect=aspect if request.aspect is None else request.aspect,
            model=self.model if request.model is None else request.model,
            stylize=self.stylize if request.stylize is None else request.stylize,
            priority=Priority.RELAX if self.relax and request.priority is None else request.priority,
        )


class Defaults:
    """Members' defaults in storage."""

    def __init__(self, *, storage: Storage, catalogue: Catalogue, relax: bool) -> None:
        """`relax` tells whether there are relaxed orders here."""
        self.relax = relax
        self._storage = storage
        self._catalogue = catalogue

    async def of(self, user_id: int) -> MemberDefaults:
        """What the member set."""
        defaults = MemberDefaults.read(await self._storage.settings.get("user", user_id, KEY), self._catalogue)
        return defaults if self.relax else replace(defaults, relax=False)

    async def change(self, user_id: int, **changes: Any) -> MemberDefaults:
        """Set some of them; None takes one away.

        Raises `WeightsAbsent` or `WeightsGone` for a model that could not draw, or `RelaxOff`: each order would be
        refused.
        """
        if changes.get("relax") and not self.relax:
            raise RelaxOff
        model = changes.get("model")
        if model is not None and model != self._catalogue.default_model:
            await asyncio.to_thread(check_weights, self._catalogue.model(model))
        changed = replace(await self.of(user_id), **changes)
        await self._storage.settings.set("user", user_id, KEY, changed.stored())
        return changed

    async def forget(self, user_id: int) -> MemberDefaults:
        """Take all of them away."""
        await self._storage.settings.set("user", user_id, KEY, None)
        return MemberDefaults()


def _is_aspect(text: str) -> bool:
    try:
        parse_aspect(text)
    except InvalidAspect:
        return False
    return True
