"""The language of prompts: A1111's weights, Midjourney's multi-prompts and permutations, in one small grammar.

    prompt      = part { "::" [number] part }        a:: b::2 c::-0.5
    part        = { words | bracket }
    bracket     = "(" part ")"                        weight × 1.1
                | "(" part ":" number ")"             weight × number
                | "[" part "]"                        weight ÷ 1.1
    words       = { character | "\\\\" escapable }       escapable: ( ) [ ] : { } , \\\\

- Nested brackets multiply. The weight of words ends up from 0 (as if they were not there) to 3.
- `::` parts the prompt; a number right after it is the weight of what stands *before* it, −100 to 100, 1 where there is
  none. Only proportions count. A negative part is one to move away from. The weights must come to more than 0.
- A prompt has up to 20 parts, and up to 20 different weights of words.
- A bracket without its other half is text (`:)`), and so is a colon before words (`(note: a boat)`). But what can
  only be meant as a weight and is none is refused: `(a:1,3)`, `[a:0.5]`, `a::1,5 b`, `(a::2)`, and `::2` after nothing.
- Braces are for `expand`, which works on the whole typed text before anything else; to `parse` they are text.

`parse(text)` gives a `Prompt`, and `Prompt.to_text()` prints it canonically: plain words come out as they went in.
Everything here is pure, linear in the length of the text, and raises only leaves of `RequestRejected` (`errors.py`).
"""

from generation.prompt_language.parsing import parse
from generation.prompt_language.permutations import MAX_PERMUTATIONS, expand
from generation.prompt_language.templates import WORD, embeddings_in, within
from generation.prompt_language.tree import Fragment, Part, Prompt, escape

__all__ = [
    "MAX_PERMUTATIONS",
    "WORD",
    "Fragment",
    "Part",
    "Prompt",
    "embeddings_in",
    "escape",
    "expand",
    "parse",
    "within",
]
