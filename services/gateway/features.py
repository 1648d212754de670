"""Turn a message into the n-grams and cues that the router weighs; training uses the same code."""

import re
import unicodedata
from itertools import pairwise
from typing import Final

from services.gateway.concepts import conceptual

# Longer messages keep their two ends, where people put the request; the middle is payload.
HEAD: Final = 160
TAIL: Final = 120
# Bounded, so that thousands of opening marks cost no quadratic time.
QUOTED: Final = re.compile(
    r"«[^»]{0,4000}»|“[^”]{0,4000}”|„[^“”]{0,4000}[“”]|\"[^\"]{0,4000}\"|(?<!\w)'[^']{6,4000}'(?!\w)"
)
QUOTE_MARK: Final = "❝"
SENTENCE_END: Final = re.compile(r"[.!?…]{1,4}(?=\s|$)")
WORD: Final = re.compile(r"\w+")

CUES: Final = (
    "context given",
    "one picture attached",
    "several pictures attached",
    "quoted words",
    "long quotation",
    "nothing but a quotation",
    "colon",
    "text before the colon is short",
    "several lines",
    "ends with a question",
    "question inside",
    "no question mark",
    "one word",
    "up to three words",
    "up to eight words",
    "up to twenty words",
    "more than twenty words",
    "several sentences",
    "statement and question",
    "comma list",
    "percentage",
    "digits",
    "no letters",
    "foreign script",
)


def fold(text: str) -> str:
    """Lower case without accents (ñ and й stay), digits as 0 and single spaces."""
    lowered = text.lower().replace("ё", "е")
    kept = lowered.replace("ñ", "\ue000").replace("й", "\ue001")
    plain = "".join(c for c in unicodedata.normalize("NFKD", kept) if not unicodedata.combining(c))
    digits = re.sub(r"\d", "0", plain.replace("\ue000", "ñ").replace("\ue001", "й"))
    return " ".join(digits.split())


def frame(text: str) -> str:
    """Replace quotations by a mark and cut the middle of a long message."""
    bare = QUOTED.sub(QUOTE_MARK, text)
    if len(bare) <= HEAD + TAIL:
        return bare
    return f"{bare[:HEAD]} … {bare[-TAIL:]}"


def ngrams(text: str) -> set[str]:
    """Return the character n-grams of 2 to 5, words, word pairs, opening words and concepts of the frame."""
    folded = fold(frame(text))
    padded = f"^{folded}$"
    found = {padded[i : i + size] for size in (2, 3, 4, 5) for i in range(len(padded) - size + 1)}
    words = WORD.findall(folded)
    found.update(f"|{word}|" for word in words)
    found.update(f"|{a} {b}|" for a, b in pairwise(words))
    found.update(f">{' '.join(words[:n])}|" for n in (1, 2, 3) if len(words) >= n)
    found.update(conceptual(words))
    return found


def cues(text: str, *, has_context: bool = False, images: int = 0) -> list[int]:
    """Name the shapes of the request that hold, as positions in CUES."""
    found = _shape(has_context, images) | _quotes(text) | _lengths(text) | _marks(text)
    return [i for i, name in enumerate(CUES) if name in found]


def _shape(has_context: bool, images: int) -> set[str]:
    found = {"context given"} if has_context else set()
    if images:
        found.add("one picture attached" if images == 1 else "several pictures attached")
    return found


def _quotes(text: str) -> set[str]:
    quotations = QUOTED.findall(text)
    if not quotations:
        return set()
    found = {"quoted words"}
    if max(map(len, quotations)) > 40:
        found.add("long quotation")
    if not WORD.search(QUOTED.sub("", text)):
        found.add("nothing but a quotation")
    return found


def _lengths(text: str) -> set[str]:
    count = len(WORD.findall(text))
    limits = ((1, "one word"), (3, "up to three words"), (8, "up to eight words"))
    for limit, name in (*limits, (20, "up to twenty words")):
        if count <= limit:
            return {name}
    return {"more than twenty words"}


def _marks(text: str) -> set[str]:
    stripped = text.strip()
    before, colon, _ = stripped.partition(":")
    inside = stripped[:-1]
    parts = [p for p in re.split(r"[,;]", stripped) if p.strip()]
    sentences = SENTENCE_END.findall(stripped)
    holds = {
        "colon": bool(colon),
        "text before the colon is short": bool(colon) and len(before.split()) <= 3,
        "several lines": "\n" in stripped,
        "ends with a question": stripped.endswith("?"),
        "question inside": "?" in inside or "¿" in inside[1:],
        "no question mark": "?" not in stripped,
        "several sentences": len(sentences) >= 3,
        "statement and question": "?" in stripped
        and bool(re.search(r"\w\w\.(\s|$|[\"»”])", stripped)),
        "comma list": len(parts) >= 3 and max(len(p.split()) for p in parts) <= 4,
        "percentage": bool(re.search(r"\d\s*%|\d/\d", stripped)),
        "digits": bool(re.search(r"\d", stripped)),
        "no letters": not re.search(r"[^\W\d_]", stripped),
        "foreign script": _foreign(stripped),
    }
    return {name for name, is_so in holds.items() if is_so}


def _foreign(text: str) -> bool:
    """Say whether most letters are neither Latin nor Cyrillic."""
    letters = [c for c in text if c.isalpha()]
    strange = sum(not (c < "\u0250" or "\u0400" <= c <= "\u04ff") for c in letters)
    return strange * 2 > len(letters)
