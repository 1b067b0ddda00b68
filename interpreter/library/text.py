"""Text of strangers made plain, and cut into the words that the index knows.

Words are folded (case, accents), stripped of common English endings and of words that carry no meaning. Scripts
without spaces between words (Chinese, Japanese, Thai …) are cut into pairs of neighbouring characters, so that they
can be searched without a dictionary.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Folded before comparison, hence without apostrophes.
_WITHOUT_MEANING = """
    a about above after again against all also am an and any are as at be because been before being below between
    both but by can could did do does doing down during each few for from further had has have having he her here
    hers him his how i if in into is it its itself just let like look looks may me might more most must my no nor not
    of off on once only or other ought our ours out over own please same shall she should show shows so some such
    than that the their theirs them then there these they this those through to too under until up upon us very was
    we were what when where which while who whom whose why will with would you your yours
"""
STOPWORDS = frozenset(_WITHOUT_MEANING.split())

_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_SPACES = re.compile(r"[^\S\n]+")
_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003134f]+"
)
_SENTENCE_END = re.compile(r"(?:(?<=[.!?…])|(?<=[.!?…][\"'”’)\]]))\s+(?=[\"'“‘(\[]*[^\W_a-z])|(?<=[。！？])")
_ABBREVIATION = re.compile(
    r"(?:^|[\s(])(?:[A-Z]|[Dd]r|[Mm]r|[Mm]rs|[Mm]s|[Pp]rof|[Ss]t|[Nn]o|vs|etc|e\.g|i\.e|ca|cf|fig|Fig|approx)\.$"
)


def clean(text: str) -> str:
    """The text without control, invisible and direction-changing characters; lines kept, runs of blanks made one."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\x0c", "\n").replace("\u2028", "\n")
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", text.replace("\u2029", "\n\n").replace("\x85", "\n")))
    return _SPACES.sub(" ", text)


def one_line(text: str, limit: int | None = None) -> str:
    """The cleaned text on one line, cut at a word to at most `limit` characters."""
    line = " ".join(clean(text).split())
    if limit is None or len(line) <= limit:
        return line
    cut = line[: limit - 1]
    head, blank, _ = cut.rpartition(" ")
    return (head if blank and len(head) > limit // 2 else cut) + "…"


def decode(data: bytes) -> str:
    """Bytes of a text file to text: UTF-8, UTF-16 with a mark, else Windows-1252. Raises `ValueError` if not text."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    # A real text has hardly any control characters; a renamed archive or program has plenty.
    odd = sum(map(text.count, "\x00\x01\x02\x03\x04\x05\x06\x07\x0e\x0f\x10\x11\x12\x13\x14"))
    if odd and odd * 200 > len(text):
        raise ValueError("this is not text")
    return text


def sentences(text: str) -> list[str]:
    """The sentences of a paragraph; abbreviations and initials do not end one."""
    found: list[str] = []
    for line in text.split("\n"):
        pending = ""
        for part in _SENTENCE_END.split(line):
            pending = f"{pending} {part}".strip() if pending else part.strip()
            if pending and not _ABBREVIATION.search(pending):
                found.append(pending)
                pending = ""
        if pending:
            found.append(pending)
    return found


def terms(text: str) -> list[str]:
    """The words of a text as the index knows them, in order, without stop words."""
    return [stem(word) for word in _words(text) if word not in STOPWORDS]


def _words(text: str) -> Iterator[str]:
    folded = unicodedata.normalize("NFKD", text.casefold().replace("'", "").replace("’", ""))
    folded = unicodedata.normalize("NFC", "".join(c for c in folded if not unicodedata.combining(c)))
    for match in _WORD.finditer(folded):
        word = match.group()
        end = 0
        for run in _UNSPACED.finditer(word):
            if run.start() > end:
                yield word[end : run.start()]
            yield from _pairs(run.group())
            end = run.end()
        if end < len(word):
            yield word[end:]


def _pairs(run: str) -> list[str]:
    return [run] if len(run) < 3 else [run[i : i + 2] for i in range(len(run) - 1)]


def stem(word: str) -> str:
    """A word without its common English ending: `galaxies` and `galaxy`, `lifted` and `lift` become one."""
    if not word.isascii() or not word.isalpha() or len(word) < 4:
        return word
    word = _singular(word)
    for ending in ("ing", "ed"):
        root = word[: -len(ending)]
        if word.endswith(ending) and len(root) >= 3 and re.search("[aeiouy]", root):
            return _restored(root)
    return word[:-1] if len(word) > 3 and word.endswith("e") else word


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _restored(root: str) -> str:
    """The stem of `stopp-ing` is `stop`, that of `mak-ing` the same as that of `make`."""
    if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz":
        return root[:-1]
    return root[:-1] if root.endswith("e") and len(root) > 3 else root
