"""How a name is read for searching: without case, accents, width and punctuation.

Belongs here: folding and splitting. Does not belong here: what is found (`reco.snapshot.search`).
"""

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
# Letters that are drawn with a stroke or joined: Unicode does not take them apart, people type them apart.
_APART = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "\u0131": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"}
)


def fold(text: str) -> str:
    """A text as it is compared: NFKC, casefolded, accents taken off."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text).casefold())
    bare = "".join(one for one in apart if not unicodedata.combining(one))
    return unicodedata.normalize("NFC", bare).translate(_APART)


def words_of(text: str) -> list[str]:
    """The folded words of a text in their order: runs of letters and digits."""
    return _WORD.findall(fold(text))
