"""Text as a reader sees it: case, width, marks, invisible characters and look-alikes folded away.

Compatibility decomposition (Unicode Standard Annex #15, NFKD) takes care of full-width letters, ligatures, circled and
mathematical letters, and separates combining marks, which are then left out. What it leaves alone are letters of other
alphabets that look like Latin ones: `LOOK_ALIKES` has those of Cyrillic, Greek, Armenian and Cherokee, the small
capitals, and the squared and regional letters, as Unicode's confusables (Technical Standard #39) pair them.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

# Cf are formats (zero-width joiners and spaces, direction marks, soft hyphens), Mn, Mc and Me are combining marks.
_INVISIBLE = frozenset({"Cf", "Mn", "Mc", "Me"})
# Letters that draw nothing, though Unicode counts them as letters: Hangul fillers, a Braille blank.
_BLANK = "\u115f\u1160\u3164\uffa0\u2800"

_PAIRS = (
    "аa ьb вb сc ԁd еe ҽe ғf ԍg һh нh іi їi јj кk ӏl мm пn оo рp ԛq гr ѕs тt цu ѵv ԝw хx уy үy зz "  # Cyrillic
    "αa βb ϲc δd εe ϝf ηn ιi κk μu νv οo ρp σo τt υu ωw χx γy ζz "  # Greek
    "աw ցg հh նu ոn սu օo քp յj լl "  # Armenian
    "ᴀa ʙb ᴄc ᴅd ᴇe ꜰf ɢg ʜh ɪi ᴊj ᴋk ʟl ᴍm ɴn ᴏo ᴘp ꞯq ʀr ꜱs ᴛt ᴜu ᴠv ᴡw ʏy ᴢz "  # small capitals
    "ꭰd ꭱr ꭲi ꭺa ꮃw ꮇm ꮋh ꮐg ꮓz ꮤw ꮥs ꮩv ꮪs ꮮl ꮯc ꮲp ꮶk ꭻj ꭼe ꮒh ꮢr ꮻo ꮍy "  # Cherokee
    "ıi ȷj øo đd ħh łl ŧt ɑa ɡg ɩi ƅb ɓb ƈc ɗd ƒf ɠg ƙk ɱm ƞn ƥp ƭt ʋv ƴy ɛe ɔc ʊu "  # Latin
)


def _look_alikes(pairs: Iterable[str]) -> dict[int, str]:
    table = {ord(pair[0].casefold()): pair[1] for pair in pairs}  # Cherokee folds to its capitals
    for offset in range(26):
        letter = chr(ord("a") + offset)
        table[0x1F130 + offset] = letter  # squared letters
        table[0x1F150 + offset] = letter  # negative circled letters
        table[0x1F170 + offset] = letter  # negative squared letters
        table[0x1F1E6 + offset] = letter  # regional indicators
    return table


LOOK_ALIKES = _look_alikes(_PAIRS.split())


def fold(text: str) -> str:
    """The text in lower-case base letters. Folding what is folded changes nothing."""
    seen = text.casefold().translate(LOOK_ALIKES)  # before decomposition makes another letter of some
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", seen).casefold())
    visible = (char for char in decomposed if unicodedata.category(char) not in _INVISIBLE and char not in _BLANK)
    return "".join(visible).translate(LOOK_ALIKES)
