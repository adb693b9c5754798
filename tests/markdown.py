"""What of a message Discord reads as Markdown: all but its code spans."""

from __future__ import annotations

import re

# As Discord's own reader has it: as many backticks at the end as at the beginning, and something else between.
_CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`)(.*?[^`])\1(?!`)", re.DOTALL)


def bare(content: str) -> str:
    """The content without its code spans."""
    return _CODE_SPAN.sub("", content)
