"""What `doctor` finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

# ok: as it should be. note: works, but worth knowing. todo: does not work until somebody does something.
State: TypeAlias = Literal["ok", "note", "todo"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report. `key` names its words in the catalogue, under `doctor`; `fields` fill them."""

    topic: str
    state: State
    key: str
    fields: Mapping[str, object] = field(default_factory=dict)
