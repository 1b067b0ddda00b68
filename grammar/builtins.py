"""Signatures that every environment has: the search tools, selection, and the predicates of `require`."""

from __future__ import annotations

from genevolve.grammar.types import Environment, Parameter, Signature, SkillInfo, Type

POSITIONS = (
    "top",
    "bottom",
    "left",
    "right",
    "center",
    "top left",
    "top right",
    "bottom left",
    "bottom right",
)
RELATIONS = ("left_of", "right_of", "above", "below", "in_front_of", "behind", "inside", "next_to", "on")

_TOP_K = Parameter(
    "top_k", Type.INT, required=False, default=5, named_only=True, low=1, high=20, doc="how many results"
)

SEARCH = Signature(
    "search",
    (Parameter("query", Type.TEXT, low=1, high=400, doc="what to look for"), _TOP_K),
    Type.EVIDENCE,
    variadic=True,
    doc="Text passages that answer the queries, best first.",
)
IMAGE_SEARCH = Signature(
    "image_search",
    (Parameter("query", Type.TEXT, low=1, high=400, doc="what the picture shows"), _TOP_K),
    Type.IMAGES,
    doc="Candidate pictures, best first.",
)
IMAGE = Signature(
    "image",
    (Parameter("path", Type.TEXT, low=1, high=1024, doc="a file inside the allowed folders"),),
    Type.IMAGE,
    cost=0,
    doc="A picture of the user's own.",
)
PICK = Signature(
    "pick",
    (Parameter("images", Type.IMAGES), Parameter("criterion", Type.TEXT, low=1, high=400)),
    Type.IMAGE,
    cost=0,
    doc="The candidate whose caption fits the criterion best.",
)
ASK = Signature(
    "ask",
    (Parameter("evidence", Type.EVIDENCE), Parameter("question", Type.TEXT, low=1, high=400)),
    Type.TEXT,
    cost=0,
    doc="The passage of the evidence that answers the question.",
)
TEXT = Signature(
    "text",
    (
        Parameter("value", Type.TEXT, low=1, high=400, doc="the exact lettering"),
        Parameter("at", Type.TEXT, required=False, named_only=True, choices=POSITIONS),
    ),
    Type.PREDICATE,
    cost=0,
    doc="The picture carries this lettering.",
)
COUNT = Signature(
    "count",
    (Parameter("what", Type.TEXT, low=1, high=200, doc="the kind of thing, in the singular"),),
    Type.QUANTITY,
    cost=0,
    doc="How many of a thing the picture shows; compare it with a number.",
)
ATTRIBUTE = Signature(
    "attribute",
    (Parameter("what", Type.TEXT, low=1, high=200), Parameter("value", Type.TEXT, low=1, high=200)),
    Type.PREDICATE,
    cost=0,
    doc="The thing has this attribute (a colour, a material, a state).",
)
RELATION = Signature(
    "relation",
    (
        Parameter("a", Type.TEXT, low=1, high=200),
        Parameter("relation", Type.TEXT, choices=RELATIONS),
        Parameter("b", Type.TEXT, low=1, high=200),
    ),
    Type.PREDICATE,
    cost=0,
    doc="Where one thing stands to another.",
)
RESEMBLES = Signature(
    "resembles",
    (Parameter("ref", Type.REFERENCE),),
    Type.PREDICATE,
    cost=0,
    doc="The picture keeps the look of a reference image.",
)

TOOLS = (SEARCH, IMAGE_SEARCH, IMAGE, PICK, ASK)
PREDICATES = (TEXT, COUNT, ATTRIBUTE, RELATION, RESEMBLES)

RENDER_SETTINGS = (
    Parameter("size", Type.SIZE, required=False, low=64, high=4096, doc="width x height in pixels"),
    Parameter("steps", Type.INT, required=False, low=1, high=500, doc="sampling steps"),
    Parameter("guidance", Type.FLOAT, required=False, low=0, high=50, doc="classifier-free guidance"),
    Parameter("seed", Type.INT, required=False, low=0, high=2**63 - 1, doc="random seed"),
)


def builtin_environment(skills: dict[str, SkillInfo] | None = None) -> Environment:
    """The environment of a fresh installation: built-in tools and predicates, and the given skills."""
    return Environment({s.name: s for s in (*TOOLS, *PREDICATES)}, dict(skills or {}))
