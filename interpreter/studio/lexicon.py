"""The words that the simulated generator understands. All others are passed over.

Keys are single lower-case words after the phrases of `PHRASES` were joined; nouns are looked up singular.
"""

from __future__ import annotations

import re

from genevolve.interpreter.studio.palette import COLOURS as _COLOURS
from genevolve.interpreter.studio.scene import MATERIALS as _MATERIALS
from genevolve.interpreter.studio.scene import NOUNS as _NOUNS

NOUNS: dict[str, str] = {
    **{noun: noun for noun in _NOUNS},
    **dict.fromkeys(("sphere", "globe", "orb"), "ball"),
    **dict.fromkeys(("lamp-post", "lampion"), "lantern"),
    **dict.fromkeys(("cottage", "hut", "home", "cabin"), "house"),
    **dict.fromkeys(("oak-tree", "sapling"), "tree"),
    **dict.fromkeys(("ship", "sailboat", "sailing-boat", "yacht", "vessel", "ferry"), "boat"),
    **dict.fromkeys(("mug", "teacup"), "cup"),
    **dict.fromkeys(("handbell",), "bell"),
    **dict.fromkeys(("diadem", "tiara"), "crown"),
    **dict.fromkeys(("crescent",), "moon"),
    **dict.fromkeys(("parasol",), "umbrella"),
    **dict.fromkeys(("blossom", "bloom", "daisy"), "flower"),
    **dict.fromkeys(("toadstool",), "mushroom"),
    **dict.fromkeys(("flask",), "bottle"),
    **dict.fromkeys(("cart", "carriage"), "wagon"),
    **dict.fromkeys(("spaceship",), "rocket"),
    **dict.fromkeys(("jewel", "diamond", "gemstone"), "gem"),
    **dict.fromkeys(("castle-tower", "turret", "lighthouse"), "tower"),
    **dict.fromkeys(("kitten",), "cat"),
    **dict.fromkeys(("pony", "stallion", "mare"), "horse"),
    **dict.fromkeys(("bug", "scarab"), "beetle"),
    **dict.fromkeys(("songbird", "sparrow"), "bird"),
    **dict.fromkeys(("crest", "badge-emblem", "coat-of-arms", "logo"), "emblem"),
}
OUTLINE_WORDS: dict[str, str] = {
    "shield": "shield",
    "disc": "disc",
    "roundel": "disc",
    "pennant": "pennant",
    "lozenge": "lozenge",
    "hexagon": "hexagon",
    "square": "square",
}
PATTERN_WORDS: dict[str, str] = {
    **dict.fromkeys(("halves", "halved"), "halves"),
    **dict.fromkeys(("stripes", "striped"), "stripes"),
    **dict.fromkeys(("bars", "barred"), "bars"),
    **dict.fromkeys(("diagonal",), "diagonal"),
    **dict.fromkeys(("checks", "checked", "chequered", "checkered"), "checks"),
    **dict.fromkeys(("cross",), "cross"),
    **dict.fromkeys(("chevron", "chevrons"), "chevron"),
    **dict.fromkeys(("quarters", "quartered"), "quarters"),
    **dict.fromkeys(("border", "bordered"), "border"),
}
FIGURE_CUES = frozenset({"badge", "figure", "symbol", "charge", "bearing", "device"})

COLOURS: dict[str, str] = {
    **{c: c for c in _COLOURS},
    **dict.fromkeys(("scarlet", "crimson", "ruby", "vermilion"), "red"),
    **dict.fromkeys(("tangerine",), "orange"),
    **dict.fromkeys(("golden", "gold", "amber", "lemon"), "yellow"),
    **dict.fromkeys(("emerald", "olive", "lime"), "green"),
    **dict.fromkeys(("teal", "cyan", "aqua"), "turquoise"),
    **dict.fromkeys(("azure", "navy", "cobalt", "sapphire"), "blue"),
    **dict.fromkeys(("violet", "lilac", "mauve"), "purple"),
    **dict.fromkeys(("rose", "magenta", "fuchsia"), "pink"),
    **dict.fromkeys(("chestnut", "chocolate", "umber"), "brown"),
    **dict.fromkeys(("ebony", "jet"), "black"),
}
PALE: dict[str, str] = {
    "white": "white",
    "cream": "cream",
    "ivory": "cream",
    "grey": "",
    "gray": "",
    "silver": "",
}
"""Colours of letters, surfaces and grounds only."""

MATERIALS: dict[str, str] = {
    **{m: m for m in _MATERIALS if m != "plain"},
    **dict.fromkeys(("crystal",), "glass"),
    **dict.fromkeys(("steel", "copper", "brass", "bronze", "iron", "tin", "metallic"), "metal"),
    **dict.fromkeys(("wooden", "timber", "oak", "pine", "walnut"), "wood"),
    **dict.fromkeys(("fabric", "felt", "wool", "woollen", "silk", "linen", "cotton", "textile"), "cloth"),
    **dict.fromkeys(("granite", "marble", "slate", "rock"), "stone"),
}
MATTER: dict[str, frozenset[str]] = {
    "glass": frozenset(
        {
            "clear",
            "seethrough",
            "transparent",
            "translucent",
            "rim",
            "highlight",
            "highlights",
            "streak",
            "through",
        }
    ),
    "metal": frozenset(
        {
            "brushed",
            "polished",
            "band",
            "bands",
            "highlight",
            "highlights",
            "shiny",
            "reflects",
            "gleam",
            "reflective",
        }
    ),
    "wood": frozenset({"grain", "grained", "rings", "planks", "oiled", "lines", "rough", "carved"}),
    "cloth": frozenset({"weave", "woven", "threads", "folds", "fold", "soft", "coarse", "stitched", "knit"}),
    "stone": frozenset(
        {"speckled", "specks", "rough", "grains", "grainy", "chipped", "coarse", "hewn", "dull"}
    ),
}
"""What says how a material looks: two of these words make it hold."""

SKINS: dict[str, str] = {
    **dict.fromkeys(("brick", "bricks", "masonry", "brickwork"), "bricks"),
    **dict.fromkeys(("scale", "scales", "scaly"), "scales"),
    **dict.fromkeys(("leaf", "leaves", "foliage", "leafy"), "leaves"),
    **dict.fromkeys(("honeycomb", "honeycombs", "hive", "beehive"), "honeycomb"),
    **dict.fromkeys(("spots", "spotted", "leopard", "dots", "dotted"), "spots"),
    **dict.fromkeys(("wave", "waves", "wavy", "ripples", "ripple"), "waves"),
}
SKIN_CUES = frozenset(
    {
        *(
            "skin",
            "surface",
            "covered",
            "coated",
            "clad",
            "pattern",
            "patterned",
            "texture",
            "textured",
            "grown",
        ),
        *("turns", "turn", "changes", "becomes", "between", "made", "built", "wears", "body", "lined"),
        *("hybrid", "fused", "blend", "mix", "fusion", "crossed", "cross", "guest", "lends", "borrows"),
    }
)
HOST_CUES = frozenset({"outline", "shape", "silhouette", "form", "contour", "host"})
SEAM_CUES = frozenset(
    {"surface", "skin", "body", "everywhere", "upward", "turns", "edge", "entire", "whole", "seam"}
)

PLACE_V: dict[str, str] = {
    **dict.fromkeys(("upper", "top", "topmost"), "upper"),
    **dict.fromkeys(("lower", "bottom", "lowest"), "lower"),
    **dict.fromkeys(("foreground",), "lower"),
}
PLACE_H: dict[str, str] = {"left": "left", "right": "right", "leftmost": "left", "rightmost": "right"}
PLACE_C = frozenset({"middle", "centre", "center", "central", "centred", "centered"})
CELLS = {
    ("", "left"): "left",
    ("", "right"): "right",
    ("upper", ""): "top",
    ("lower", ""): "bottom",
    ("", ""): "centre",
    **{(v, h): f"{v} {h}" for v in ("upper", "lower") for h in ("left", "right")},
}
"""Places by what is said of the height and of the side; the middle where nothing is said."""
NOT_A_PLACE = frozenset(
    {"facing", "faces", "turned", "turns", "looks", "looking", "pointing", "points", "falls"}
)
BODY_PARTS = frozenset(
    {"eye", "eyes", "hand", "hands", "ear", "ears", "wing", "wings", "arm", "arms", "leg", "legs"}
)

RELATIONS: dict[str, str] = {
    "leftof": "left_of",
    "rightof": "right_of",
    **dict.fromkeys(("above", "over"), "above"),
    **dict.fromkeys(("below", "under", "beneath", "underneath"), "below"),
    **dict.fromkeys(("nextto", "beside", "besides", "sidebyside", "alongside", "near"), "next_to"),
}
TOGETHER = frozenset(
    {"sidebyside", "nextto", "beside", "together", "touching", "adjacent", "near", "alongside"}
)

ARRANGEMENTS: dict[str, str] = {
    **dict.fromkeys(("row", "line", "queue"), "row"),
    **dict.fromkeys(("column", "stack", "pile"), "column"),
    **dict.fromkeys(("rows", "columns", "grid"), "grid"),
    **dict.fromkeys(("circle", "ring"), "circle"),
    **dict.fromkeys(("scattered", "random", "loosely"), "scattered"),
}
SIZES: dict[str, str] = {
    **dict.fromkeys(("small", "little", "tiny", "mini"), "small"),
    **dict.fromkeys(("large", "big", "huge", "giant", "enormous"), "large"),
}
NUMBERS: dict[str, int] = {
    **{
        w: i
        for i, w in enumerate(
            [
                "one",
                "two",
                "three",
                "four",
                "five",
                "six",
                "seven",
                "eight",
                "nine",
                "ten",
                "eleven",
                "twelve",
            ],
            start=1,
        )
    },
    **{str(i): i for i in range(1, 61)},
    **dict.fromkeys(("pair", "couple", "both", "twin"), 2),
    "single": 1,
    "trio": 3,
    "quartet": 4,
    "dozen": 12,
}
EXACT = frozenset({"exactly", "precisely"})
ARTICLES = frozenset(
    {"a", "an", "the", "its", "their", "this", "that", "these", "those", "every", "each", "another"}
)
DEFINITE = frozenset(
    {"the", "its", "their", "this", "that", "these", "those", "every", "each", "all", "such"}
)

SURFACES: dict[str, str] = {
    **dict.fromkeys(("banner", "ribbon", "scroll", "streamer", "strip"), "banner"),
    **dict.fromkeys(("sign", "signboard", "board", "panel", "placard", "poster"), "sign"),
    **dict.fromkeys(("plaque", "plate", "nameplate", "label", "tablet", "badge-plate"), "plaque"),
}
LETTER_WORDS = frozenset(
    {
        "letters",
        "letter",
        "lettering",
        "capitals",
        "characters",
        "type",
        "text",
        "words",
        "script",
        "serif",
        "sans",
    }
)
READS = frozenset(
    {"reads", "read", "reading", "says", "say", "saying", "titled", "lettered", "inscribed", "written"}
)

LIGHTS: dict[str, str] = {
    **dict.fromkeys(("dusk", "sunset", "evening", "twilight", "sundown", "sunrise", "dawn"), "dusk"),
    **dict.fromkeys(("night", "nighttime", "moonlit", "moonlight", "midnight", "starlight"), "night"),
    **dict.fromkeys(("overcast", "cloudy", "clouded"), "overcast"),
    **dict.fromkeys(("lamplight", "lamp", "bulb", "spotlight", "candlelight", "lamplit"), "lamp"),
    **dict.fromkeys(
        ("daylight", "noon", "sunny", "midday", "sunlight", "sunshine", "daytime", "sunlit"), "day"
    ),
}
LIGHT_CUES = frozenset(
    {
        *(
            "soft",
            "hard",
            "warm",
            "cool",
            "cold",
            "long",
            "short",
            "low",
            "high",
            "shadows",
            "shadow",
            "gradient",
        ),
        *(
            "glow",
            "glows",
            "bright",
            "dark",
            "dim",
            "corners",
            "fades",
            "falls",
            "side",
            "source",
            "pale",
            "diffuse",
        ),
        *("above", "behind", "horizon", "sky", "sun", "even"),
    }
)
LIGHT_HEADS = frozenset({"light", "lit", "lighting", "sun", "illuminated", "shines", *LIGHTS})
STYLES: dict[str, str] = {
    **dict.fromkeys(("watercolour", "watercolor", "aquarelle", "gouache"), "watercolour"),
    **dict.fromkeys(("ink", "penandink", "inked", "linedrawing"), "ink"),
    **dict.fromkeys(("mosaic", "tesserae"), "mosaic"),
    **dict.fromkeys(("print", "screenprint", "halftone", "risograph", "printed"), "print"),
    **dict.fromkeys(("canvas", "oilpainting", "tapestry"), "canvas"),
}
STYLE_CUES: dict[str, frozenset[str]] = {
    "watercolour": frozenset(
        {
            "wash",
            "washes",
            "paper",
            "rough",
            "blotches",
            "bleeding",
            "pigment",
            "granulation",
            "uneven",
            "wet",
            "brush",
        }
    ),
    "ink": frozenset(
        {"outline", "outlines", "hatching", "hatched", "line", "lines", "thin", "even", "contours", "strokes"}
    ),
    "mosaic": frozenset({"tiles", "tile", "grout", "square", "joints", "stones", "pieces"}),
    "print": frozenset({"dots", "dotted", "raster", "coarse", "inks", "grid", "regular"}),
    "canvas": frozenset(
        {"weave", "woven", "threads", "texture", "textured", "coarse", "oil", "paint", "brush", "linen"}
    ),
}
GROUNDS: dict[str, str] = {
    **dict.fromkeys(("meadow", "grass", "lawn", "field", "pasture"), "meadow"),
    **dict.fromkeys(("beach", "sand", "sandy", "desert", "dune"), "beach"),
    **dict.fromkeys(("snow", "snowy", "ice"), "snow"),
    **dict.fromkeys(("pavement", "cobbles", "plaza", "flagstones", "paving", "stone", "street"), "stone"),
    **dict.fromkeys(("table", "desk", "tabletop", "shelf"), "table"),
    **dict.fromkeys(("water", "sea", "lake", "pond", "river", "harbour"), "water"),
}
GROUND_HEADS = frozenset({"background", "backdrop", "ground", "wall", "sky", "setting"})
PRAISE = frozenset(
    {
        "masterpiece",
        "stunning",
        "8k",
        "4k",
        "award",
        "trending",
        "breathtaking",
        "hyperdetailed",
        "ultra",
        "beautiful",
    }
)
COPY_WORDS = frozenset(
    {"copy", "copied", "copies", "same", "keep", "keeps", "exactly", "match", "matches", "reproduce", "identical",
     "follow", "take", "takes", "taken", "preserve", "faithful", "unchanged", "duplicate", "repeat", "replicate"}
)  # fmt: skip
ASPECTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("outline", "shape", "silhouette", "form", "contour"), ("outline",)),
    **dict.fromkeys(("colour", "colours", "color", "colors", "palette", "paint"), ("colours",)),
    **dict.fromkeys(("pattern", "stripes", "division", "markings"), ("pattern",)),
    **dict.fromkeys(("figure", "badge", "symbol", "charge", "device", "motif"), ("figure",)),
    **dict.fromkeys(
        ("look", "design", "appearance", "everything", "identity", "details"),
        ("outline", "colours", "pattern", "figure"),
    ),
}
ALL_ASPECTS = ("outline", "colours", "pattern", "figure")
LEG_WORDS = frozenset({"leg", "legs"})
ANATOMY_CUES = frozenset(
    {
        *(
            "side",
            "profile",
            "apart",
            "separate",
            "separated",
            "gap",
            "gaps",
            "visible",
            "touches",
            "touch",
            "ground",
        ),
        *(
            "spaced",
            "whole",
            "weight",
            "straight",
            "standing",
            "feet",
            "foot",
            "hooves",
            "paws",
            "pair",
            "below",
        ),
    }
)
SHADOW_CUES = frozenset(
    {"contact", "under", "beneath", "below", "base", "cast", "casts", "foot", "feet", "touches"}
)
ALL_THINGS = frozenset({"everything", "each", "every", "all", "things", "objects", "thing", "object"})
NEGATIONS = frozenset({"no", "not", "without", "never", "none", "nothing", "avoid", "free"})
STOPS = frozenset(
    {
        *(
            "and",
            "or",
            "with",
            "of",
            "in",
            "on",
            "at",
            "to",
            "by",
            "from",
            "for",
            "is",
            "are",
            "was",
            "has",
            "have",
        ),
        *(
            "stands",
            "stand",
            "sits",
            "sit",
            "lies",
            "lie",
            "shows",
            "show",
            "there",
            "that",
            "which",
            "while",
            "but",
        ),
        *(
            "as",
            "into",
            "than",
            "between",
            "above",
            "below",
            "under",
            "over",
            "beside",
            "nextto",
            "leftof",
            "rightof",
        ),
        *(
            "reads",
            "says",
            "read",
            ",",
            "made",
            "painted",
            "wears",
            "holds",
            "hold",
            "keeps",
            "takes",
            "it",
            "they",
        ),
        *(
            "a",
            "an",
            "the",
            "its",
            "their",
            "each",
            "every",
            "all",
            "where",
            "against",
            "hangs",
            "rests",
            "floats",
        ),
    }
)
CLOSED = re.compile(
    r"\b(?:only|no other|no further|no more|no extra|nothing else is)\s+(?:\w+\s+){0,2}?"
    r"(?:words?|texts?|letters?|lettering|writing|captions?|written)\b"
)

PHRASES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\b(first|second|third|fourth|fifth|1st|2nd|3rd|4th|5th) (?:reference|input) ?(?:image|picture|photo|one)?\b",
         r" ref_\1 "),
        (r"\b(?:reference|input)(?: image| picture| photo)? (?:number )?(1|2|3|4|5|one|two|three|four|five)\b",
         r" ref_\1 "),
        (r"\b(to|will|can|we|please) print\b", r" \1 publish "),
        (r"\b(of|in|on|across|to) the (?:canvas|print)\b", r" \1 the picture "),
        (r"\bthe reference (?:image|picture|photo)\b", " ref_first "),
        (r"\bcoats? of arms\b", " emblem "),
        (r"\bsailing boat", " boat"),
        (r"\bfish scales?\b|\bscales of (?:a )?fish\b", " scales "),
        (r"\bleopard spots\b", " spots "),
        (r"\bsea waves\b|\bocean waves\b", " waves "),
        (r"\bsee-through\b", " seethrough "),
        (r"\bside by side\b|\bside-by-side\b", " sidebyside "),
        (r"\bnext to\b", " nextto "),
        (r"\b(?:to|on|at) the (left|right) of (?!the (?:picture|frame|image|canvas|scene|card|page|stage))", r" \1of "),
        (r"\b(left|right) of (?!the (?:picture|frame|image|canvas|scene|card|page|stage))", r" \1of "),
        (r"\b(?:higher|further up) than\b", " above "),
        (r"\b(?:lower|further down) than\b", " below "),
        (r"\bon top of\b", " above "),
        (r"\b(?:in the )?foreground\b", " foreground "),
        (r"\bpen[- ]and[- ]ink\b", " ink "),
        (r"\bink drawing\b|\bline drawing\b", " ink "),
        (r"\bscreen ?-?print(?:ed)?\b", " print "),
        (r"\boil painting\b|\bpainting on canvas\b|\boil on canvas\b", " canvas "),
        (r"\bgr[ea]y sky\b|\bcloudy sky\b", " overcast "),
        (r"\b(?:bright|broad|clear|plain) day\b|\bday light\b|\bby day\b|\bin the day\b|\bday time\b", " daylight "),
        (r"\blamp light\b|\blight of (?:a|one) lamp\b", " lamplight "),
        (r"\bnight light\b|\bnight sky\b", " night "),
        (r"\bplain (?:ground|background|backdrop)\b", " plainground "),
        (r"\bstone (?:ground|floor|square|pavement)\b|\bon stone\b|\bon a stone\b(?= *(?:[,.;]|$))", " pavement "),
        (r"\bnot overlapping\b|\bnone overlapping\b", " apart "),
        (r"\bfrom one another\b", " apart "),
    )
)  # fmt: skip
ORDINALS: dict[str, int] = {
    **{w: i for i, w in enumerate(("first", "second", "third", "fourth", "fifth"), start=1)},
    **{w: i for i, w in enumerate(("1st", "2nd", "3rd", "4th", "5th"), start=1)},
    **{w: i for i, w in enumerate(("1", "2", "3", "4", "5"), start=1)},
    **{w: i for i, w in enumerate(("one", "two", "three", "four", "five"), start=1)},
}


def singular(word: str) -> tuple[str, bool]:
    """The noun that a word stands for (empty when it is none) and whether the word is plural."""
    if word in NOUNS:
        return NOUNS[word], False
    if word == "leaves":
        return "leaf", True
    for ending, instead in (("ies", "y"), ("xes", "x"), ("es", ""), ("s", "")):
        if word.endswith(ending) and (stem := word[: -len(ending)] + instead) in NOUNS:
            return NOUNS[stem], True
    return "", False
