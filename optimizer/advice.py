"""What can be learned from two programs: one table of decisions, and how each is worded as advice.

A row tells by two profiles (best and worst) whether they decided differently. The wording holds no names, speaks of
actions, and fits what the experience store admits; a test reads every row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from genevolve.optimizer.profile import Profile

Has: TypeAlias = Callable[[Profile], bool]


@dataclass(frozen=True)
class Decision:
    """One decision.

    Attributes:
        field: The field of the guidance that advice on it belongs to.
        has: Whether a program decided so.
        advice: What to do, when the best decided so.
        against: What to do, when only the worst decided so; empty when that teaches nothing.
    """

    field: str
    has: Has
    advice: str
    against: str = ""


def _skill(name: str) -> Has:
    return lambda p: name in p.skills


def _cue(name: str) -> Has:
    return lambda p: name in p.prompt.cues


def _requires(name: str) -> Has:
    return lambda p: name in p.constraints


LONG = 160
"""Words from which on a prompt is long: generators drop clauses of longer ones."""

DECISIONS: tuple[Decision, ...] = (
    # ---- S1: search ----
    Decision(
        "recommended_tool_plan",
        lambda p: bool(p.searches),
        "Search the documents before writing the prompt whenever the request relies on facts that it does not state.",
    ),
    Decision(
        "recommended_tool_plan",
        lambda p: bool(p.pictures),
        "Search for pictures before composing whenever something must look like one particular thing that exists.",
    ),
    Decision(
        "recommended_tool_plan",
        lambda p: p.asks > 0,
        "Ask the found evidence one precise question for each needed fact instead of guessing the answer from memory.",
    ),
    Decision(
        "recommended_tool_plan",
        lambda p: p.chained,
        "Combine two searches when one fact names another subject, and query that second subject by its own name.",
    ),
    Decision(
        "search_query_guidance",
        lambda p: bool(p.named_queries),
        "Write the full proper name of the subject and its kind into every query, then the wanted fact.",
    ),
    Decision(
        "search_query_guidance",
        lambda p: not p.styled_queries,
        "Keep words of style, layout and format out of queries, because they pull in pages about other subjects.",
    ),
    Decision(
        "search_query_guidance",
        lambda p: not p.copied_queries,
        "Shorten each query to subject and fact instead of pasting the whole request, which finds the wrong pages.",
    ),
    # ---- S2: knowledge ----
    Decision(
        "skill_routing_guidance",
        _skill("text_rendering"),
        "Use the text rendering skill whenever readable words are asked for, before the prompt is composed.",
        "Skip the text rendering skill when no words are asked for, and spend the call on something needed.",
    ),
    Decision(
        "skill_routing_guidance",
        _skill("quantity_counting"),
        "Use the quantity counting skill whenever several things of one kind must appear in a fixed number.",
        "Skip the quantity counting skill when no number matters, and spend the call on something that is needed.",
    ),
    Decision(
        "skill_routing_guidance",
        _skill("spatial_layout"),
        "Use the spatial layout skill whenever the request says where things stand or how they are arranged.",
        "Skip the spatial layout skill when no place is asked for, and spend the call on something needed.",
    ),
    Decision(
        "skill_routing_guidance",
        _skill("attribute_binding"),
        "Use the attribute binding skill whenever two or more things have colours or materials of their own.",
        "Skip the attribute binding skill when only one thing is described, and spend the call on something needed.",
    ),
    Decision(
        "skill_routing_guidance",
        _skill("anatomy_body_coherence"),
        "Use the anatomy skill whenever a creature or a person is drawn whole and its limbs can be counted.",
        "Skip the anatomy skill when nothing alive is in the picture, and spend the call on something needed.",
    ),
    Decision(
        "skill_routing_guidance",
        _skill("physical_material_consistency"),
        "Use the material skill whenever a substance, a shadow or a surface that things stand on is asked for.",
        "Skip the material skill when no substance or shadow is asked for, and spend the call on something needed.",
    ),
    Decision(
        "skill_routing_guidance",
        _skill("aesthetic_drawing"),
        "Use the aesthetic skill whenever the request names a light, a mood or a manner of drawing.",
        "Skip the aesthetic skill when neither light nor manner is asked for, and spend the call elsewhere instead.",
    ),
    Decision(
        "skill_routing_guidance",
        _skill("creative_drawing"),
        "Use the creative skill whenever one thing is to borrow the shape or the surface of another thing.",
        "Skip the creative skill when nothing is to be transformed, and spend the call on something needed.",
    ),
    # ---- S3: references ----
    Decision(
        "reference_selection_guidance",
        lambda p: bool(p.notes),
        "Bind a reference image whenever the look of one particular thing matters, rather than describing it in words.",
        "Leave references out when no particular look is asked for, since a needless one draws in foreign details.",
    ),
    Decision(
        "reference_selection_guidance",
        lambda p: bool(p.notes) and min(p.notes) >= 3,
        "State in the note of every reference which parts to copy, such as its outline, colours and pattern.",
    ),
    Decision(
        "reference_selection_guidance",
        lambda p: p.picks > 0,
        "Pick the reference by a written criterion instead of taking the first candidate that the search returns.",
        "Take the first candidate of a precise picture query, because a vague criterion picks a worse one.",
    ),
    Decision(
        "reference_selection_guidance",
        lambda p: bool(p.notes) and p.prompt.references >= len(p.notes),
        "Mention every bound reference inside the prompt, and say there which parts of it are to be kept.",
    ),
    # ---- S4: prompt ----
    Decision(
        "prompt_program_guidance",
        _cue("exact_count"),
        "Spell out every number with the word exactly directly before it, and name the counted thing at once.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("arrangement"),
        "Arrange counted things in one named order, such as a single row or a ring with even gaps.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("absolute_place"),
        "Give every thing an absolute place in the picture, such as the lower left third or the upper centre.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("relation"),
        "Say for each pair of things which one stands left of, above or in front of the other.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("quoted"),
        "Put the words that must be readable between quotation marks, letter by letter as they shall appear.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("surface"),
        "Give written words a plain surface of their own, such as a banner, a sign or a plaque.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("letter_style"),
        "Describe the lettering of written words: its size, its weight, its colour and whether capitals are used.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("copy_note"),
        "Tell the generator inside the prompt what to keep from the reference: outline, colours and pattern unchanged.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("material"),
        "Name the substance of each thing and how it shows, such as grain, weave, sheen or a clear highlight.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("contact"),
        "Let every thing stand on a named ground and give it a shadow where it touches that ground.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("light"),
        "Describe the light of the scene: its time of day, its direction and its colour on the things.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("style"),
        "Name one manner of drawing and describe its marks, such as washes, ink outlines or small tiles.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("contrast"),
        "Set the main things against a plain ground of clearly different brightness so that they stand out.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("limbs"),
        "State how many limbs each creature has and that all of them are visible, separate and whole.",
    ),
    Decision(
        "prompt_program_guidance",
        _cue("mapping"),
        "Spell out a transformation part by part: which thing keeps its outline and which lends its surface.",
    ),
    Decision(
        "prompt_program_guidance",
        lambda p: 0 < p.prompt.words <= LONG,
        "Keep the prompt short enough that every clause is read, and cut whatever the request does not need.",
    ),
    # ---- S5: failures ----
    Decision(
        "failure_guards",
        lambda p: p.avoids > 0,
        "List the likely failures as things to avoid: extra copies, broken letters, merged shapes and missing parts.",
    ),
    Decision(
        "failure_guards",
        _cue("closed_world"),
        "Close the scene with a clause that nothing else appears, so that no further copies are added.",
    ),
    Decision(
        "failure_guards",
        _cue("spelled_once"),
        "Say that nothing is written besides the quoted words, so that no further letters or captions are added.",
    ),
    Decision(
        "failure_guards",
        _requires("text"),
        "Require the wanted words as a constraint with their place, so that a missing line is noticed.",
    ),
    Decision(
        "failure_guards",
        _requires("count"),
        "Require each number as a constraint on the counted thing, so that a drift of the count is noticed.",
    ),
    Decision(
        "failure_guards",
        _requires("resembles"),
        "Require that the picture resembles its reference, so that a generic look is noticed and not accepted.",
    ),
)
"""All decisions, in the order in which advice on them is given."""
