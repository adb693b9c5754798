"""The figures of the bench, each said as it comes; a part that cannot be measured costs its own figures alone."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch

from generation.errors import OutOfMemory, SettingRefused
from generation.painter.devices import free_memory

Figures: TypeAlias = dict[str, float | str | None]


class Notes:
    """What was found on one device. None: what it cannot do or hold, and what broke."""

    def __init__(self, device: torch.device) -> None:
        self.figures: Figures = {}
        self.broken_parts = 0
        self._device = device
        self._attention_order = torch._C._get_sdp_priority_order()

    def note(self, key: str, value: float | str | None) -> None:
        self.figures[key] = value
        say(f"  {key}: {value}")

    def note_share(self, key: str, least_seconds: float) -> None:
        """What share of the limit a rate is: a second's worth of steps or pictures, at the least they could take."""
        rate = self.number(key)
        self.note(f"{key}_percent_of_limit", None if rate is None else 100 * rate * least_seconds)

    def take(self, key: str, work: Callable[[], float]) -> None:
        """Note what comes of it."""
        value: float | None = None
        with self.trying():
            value = work()
        self.note(key, value)

    def number(self, key: str) -> float | None:
        """What was noted, if it is a number."""
        value = self.figures.get(key)
        return value if isinstance(value, float) else None

    def best(self, keys: Iterable[str]) -> float | None:
        """The highest of those that are numbers."""
        return max((value for key in keys if (value := self.number(key)) is not None), default=None)

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Goes on whatever happens; afterwards the device's memory is free for what comes next."""
        try:
            yield
        except (SettingRefused, OutOfMemory, torch.OutOfMemoryError) as error:
            say(f"  left out: {error}")
        except Exception:  # noqa: BLE001 - an hour's figures shall not be lost for one that cannot be taken
            self.broken_parts += 1
            say(f"  broken: {traceback.format_exc()}")
        torch._C._set_sdp_priority_order(self._attention_order)
        forget_models(self._device)


def forget_models(device: torch.device) -> None:
    """Those that nobody holds, with what was compiled for them."""
    gc.collect()
    torch.compiler.reset()
    gc.collect()
    free_memory(device)


def say(what: str) -> None:
    """What is going on, to whoever waits."""
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()
