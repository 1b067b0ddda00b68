"""What a request asks for, by its wording: skills, looked-up names, lettering, numbers.

Plain rules on words, for judging programs without a model. They read ordinary English; a request in other words may ask
for more than they see, so what they do not find is never held against a program.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

NUMBER_WORDS: Mapping[str, int] = MappingProxyType(
    {
        **{"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9},
        **{"ten": 10, "eleven": 11, "twelve": 12, "dozen": 12, "pair": 2, "trio": 3, "quartet": 4},
    }
)
_NUMBERS = "|".join(NUMBER_WORDS)
_COLOURS = (
    "red|orange|yellow|green|turquoise|blue|purple|pink|brown|black|white|cream|grey|gray|gold|silver|golden"
    "|crimson|scarlet|violet|teal|navy|beige"
)
_MATERIALS = (
    "glass|metal|metallic|wood|wooden|cloth|stone|marble|steel|brass|copper|silk|wool|clay|paper|leather"
    "|ceramic"
)
_PATTERNS: Mapping[str, str] = MappingProxyType(
    {
        "text_rendering": (
            r"\b(?:reads?|reading|titled?|entitled|lettering|letters|caption(?:ed)?|sign(?:s|board)?|banner|slogan|motto"
            r"|inscription|inscribed|labelled|spells?|says|saying|words?)\b"
        ),
        "quantity_counting": (
            rf"\b(?:exactly|precisely|as many|number of|how many|(?:{_NUMBERS}|\d{{1,2}})(?!\s*(?:x|×|%|am\b|pm\b))\s+"
            r"(?:[a-z-]+\s+){0,3}[a-z-]+s)\b"
        ),
        "spatial_layout": (
            r"\b(?:left|right|above|below|beneath|beside|next to|between|in front of|behind|top|bottom|upper|lower"
            r"|corner|centre|center|foreground|side by side|in a row|middle)\b"
        ),
        "anatomy_body_coherence": (
            r"\b(?:legs?|legged|limbs?|arms?|hands?|fingers?|paws?|wings?|anatom\w+|body|bodies|pose|posture|gait"
            r"|natural build)\b"
        ),
        "physical_material_consistency": (
            rf"\b(?:(?:made|carved|built|cast|blown|sewn|cut) (?:of|from|in|out of)|{_MATERIALS}|material|shadows?"
            r"|reflections?|reflect\w*|touch(?:es|ing)? the ground|weight)\b"
        ),
        "aesthetic_drawing": (
            r"\b(?:mood|atmosphere|light(?:ing)?|lit|dusk|dawn|night|sunset|lamplight|overcast|style|watercolou?r"
            r"|ink|mosaic|engraving|woodcut|linocut|as a print|oil painting|canvas|cinematic|elegant"
            r"|beautiful)\b"
        ),
        "creative_drawing": (
            r"\b(?:as if|imagine|surreal|impossible|fusion|fuse[ds]?|hybrid|metaphor|dream\w*|whimsical|surprising"
            r"|crossed with|borrow\w*|cover(?:ed)? in (?:scales|bricks|leaves|feathers|honeycomb)"
            r"|skin of|wearing the)\b"
        ),
    }
)
_TWO_BOUND = re.compile(
    rf"\b(?:{_COLOURS}|{_MATERIALS})\b(?:\s+[a-z-]+){{1,4}}.*?\b(?:{_COLOURS}|{_MATERIALS})\b\s+[a-z]",
    re.I | re.S,
)
_QUOTED = re.compile(r'"([^"\n]{1,80})"|“([^”\n]{1,80})”|«([^»\n]{1,80})»')
_CAPITAL = r"[A-ZÀ-Þ][\wÀ-ÿ'’-]+"
_NAME = re.compile(rf"\b{_CAPITAL}(?:\s+(?:(?:of|the|de|von)\s+)?{_CAPITAL})*")
_CAPITALS = re.compile(r"\b[A-ZÀ-Þ]{2,}(?:[ '’-]+[A-ZÀ-Þ]{2,})*\b")
_LOOK = re.compile(
    r"\b(?:emblem|crest|coat of arms|logo|mascot|flag|livery|looks?|appearance|likeness|recogni[sz]able|official|"
    r"true to|as it is|real|authentic|identity|colours of|plumage|coat)\b",
    re.I,
)
_FACT = re.compile(
    r"\b(?:motto|year|founded|founding|number|colou?rs?|material|mascot|usual|as many|known for|made of|date|name"
    r"|height|population|author)\b",
    re.I,
)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_FIGURE = re.compile(r"\b\d[\d.,]*\b")
_STOP = frozenset(
    re.findall(
        r"\w+",
        "a an the and or but of in on at to for from with by as is are be its it this that these those into onto over"
        " under near each all every one two three four five six seven eight nine ten eleven twelve make draw show"
        " paint picture image please want need create render design scene poster photo illustration exactly stand"
        " stands",
    )
)


def skills_needed(request: str) -> frozenset[str]:
    """The skills whose subject the request speaks of."""
    found = {name for name, pattern in _PATTERNS.items() if re.search(pattern, request, re.IGNORECASE)}
    if wanted_texts(request):
        found.add("text_rendering")
    if _TWO_BOUND.search(request):
        found.add("attribute_binding")
    return frozenset(found)


def follows(skill: str, prompt: str) -> bool:
    """Whether a prompt does what the skill's guide asks first and foremost; True for a skill that is not known."""
    check = _ADVICE.get(skill)
    return True if check is None else check.search(prompt) is not None


def quoted_texts(text: str) -> tuple[str, ...]:
    """What stands in double quotes, in order."""
    return tuple(next(g for g in match.groups() if g) for match in _QUOTED.finditer(text))


def wanted_texts(request: str) -> tuple[str, ...]:
    """Lettering that a request spells out: what stands in quotes, and words in capitals."""
    bare = _QUOTED.sub(" ", request)
    return (*quoted_texts(request), *(m[0] for m in _CAPITALS.finditer(bare)))


def names(text: str) -> frozenset[str]:
    """Proper names outside quotes, folded: capitalised words that do not merely begin a sentence."""
    bare = _CAPITALS.sub(" ", _QUOTED.sub(" ", text))
    found = set()
    for match in _NAME.finditer(bare):
        before = bare[: match.start()].rstrip()
        words = match[0].split()
        if not before or before[-1] in ".!?:;\n":
            words = words[1:] if words[0].casefold() in _STOP or len(words) == 1 else words
        if words:
            found.add(" ".join(words).casefold())
    return frozenset(found)


def figures(text: str) -> frozenset[str]:
    """Numbers of two digits and more, as written; small ones are said by everybody."""
    return frozenset(f.rstrip(".,") for f in _FIGURE.findall(text) if len(f.rstrip(".,")) > 1)


def content_words(text: str) -> frozenset[str]:
    """Words that carry meaning, folded, a plural s taken off."""
    words = (w.casefold() for w in _WORD.findall(text))
    return frozenset(
        w[:-1] if w.endswith("s") and len(w) > 4 else w for w in words if w not in _STOP and len(w) > 2
    )


def needs_fact(request: str) -> bool:
    """Whether the request names something and asks for a fact about it."""
    return bool(names(request)) and _FACT.search(request) is not None


def needs_look(request: str) -> bool:
    """Whether the request wants something to look as a known thing does."""
    return bool(names(request)) and _LOOK.search(request) is not None


_PLACES = (
    r"\b(?:top|bottom|left|right|cent(?:re|er)|middle|upper|lower|above|below|quarter|third|half|corner)\b"
)
_ADVICE: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        "text_rendering": re.compile(rf'(?is)(?=.*["“«][^"”»]+["”»])(?=.*{_PLACES})'),
        "quantity_counting": re.compile(rf"(?i)\bexactly\s+(?:{_NUMBERS}|\d{{1,2}})\b"),
        "spatial_layout": re.compile(rf"(?i){_PLACES}"),
        "attribute_binding": re.compile(
            rf"(?is)\b(?:{_COLOURS}|{_MATERIALS})\b.*\b(?:{_COLOURS}|{_MATERIALS})\b"
        ),
        "anatomy_body_coherence": re.compile(
            rf"(?i)\b(?:{_NUMBERS}|\d+)\s+(?:[a-z-]+\s+){{0,2}}(?:legs?|arms?|hands?|limbs?|paws?|fingers?|wings?)\b"
        ),
        "physical_material_consistency": re.compile(
            rf"(?i)\b(?:{_MATERIALS}|shadows?|reflect\w+|highlights?|translucent|grain)\b"
        ),
        "aesthetic_drawing": re.compile(
            r"(?i)\b(?:\w*light\w*|lit|glow|shadows?|palette|watercolou?r|ink|mosaic|print|oil|canvas|lens|medium"
            r"|contrast|dusk|night|lamp)\b"
        ),
        "creative_drawing": re.compile(
            r"(?i)\b(?:instead of|made of|covered|cover|pattern|skin|scales|bricks|leaves|honeycomb|spots|waves"
            r"|borrow\w*|keeps?|shape of|form of)\b"
        ),
    }
)
