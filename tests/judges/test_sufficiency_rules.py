from __future__ import annotations

import pytest

from genevolve.grammar.builtins import builtin_environment
from genevolve.grammar.checker import check
from genevolve.grammar.elaborate import elaborate
from genevolve.grammar.parser import parse
from genevolve.grammar.span import Source
from genevolve.grammar.types import SkillInfo
from genevolve.grammar.z import Reference
from genevolve.interpreter.judges import needs
from genevolve.interpreter.judges.protocol import Case, Verdict
from genevolve.interpreter.judges.sufficiency import SufficiencyJudge
from genevolve.interpreter.values import Evidence, ImageHandle, Images, Snippet, Value

REQUEST = "Draw the emblem of Norrin Bay above exactly four red kites, with the motto of the town at the top."
SKILLS = (
    "text_rendering",
    "quantity_counting",
    "spatial_layout",
    "attribute_binding",
    "anatomy_body_coherence",
)
GOOD = """request "{request}"
let facts = search("motto of Norrin Bay")
let motto = ask(facts, "What is the motto of Norrin Bay?")
let pictures = image_search("Norrin Bay emblem")
ref emblem = pictures[0] for "copy outline, colours and figure"
use skill text_rendering
use skill quantity_counting
use skill spatial_layout
prompt \"\"\"In the centre stands the emblem of Norrin Bay as in {{emblem}}. In a row across the bottom stand
exactly four red kites. Across the top a banner reads "CALM NORTH".\"\"\"
require text("CALM NORTH", at: "top")
require count("kite") == 4
require resembles(emblem)
"""
VALUES: dict[str, Value] = {
    "facts": Evidence((Snippet("Norrin Bay has the motto CALM NORTH since 1873.", "Norrin Bay"),)),
    "motto": "Norrin Bay has the motto CALM NORTH since 1873.",
    "pictures": Images((ImageHandle("e.png", "0" * 64, 9, 9, id="IMG_001", caption="Emblem of Norrin Bay"),)),
}


def judged(text: str, values: dict[str, Value] = VALUES) -> Verdict:
    source = text.replace("{request}", REQUEST).replace("{{", "{").replace("}}", "}")
    skills = {name: SkillInfo(name) for name in (*SKILLS, *needs._PATTERNS)}
    checked = check(parse(Source(source, "p.gprog")), builtin_environment(skills))
    names = [n for n in ("emblem", "other") if f"ref {n} " in source]
    notes = {n: source.partition(f"ref {n} ")[2].partition('for "')[2].partition('"')[0] for n in names}
    references = [Reference(i, n, notes[n], "0" * 64) for i, n in enumerate(names, 1)]
    z = elaborate(checked.tree, values, references, ())
    return SufficiencyJudge().score(Case(REQUEST, z=z, tree=checked.tree, values=values))


def test_a_program_that_does_everything() -> None:
    verdict = judged(GOOD)
    assert verdict.score == 1.0, verdict.rationale


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("require count", "# require count", "constraints"),
        ("CALM NORTH", "BRAVE SOUTH", "nothing it saw says"),
        ("as in {{emblem}}", "as it is", "references"),
        ("exactly four red kites", "some red kites", "does not say what is required"),
        ("use skill text_rendering\nuse skill quantity_counting\nuse skill spatial_layout\n", "", "skills"),
        ('require text("CALM', 'require count("kite") == 5\nrequire text("CALM', "different numbers"),
    ],
)
def test_what_is_missing_lowers_the_level(old: str, new: str, reason: str) -> None:
    verdict = judged(GOOD.replace(old, new))
    assert verdict.score is not None
    assert verdict.score < 1.0
    assert reason in verdict.rationale.lower()


class TestTricks:
    def test_the_bare_request(self) -> None:
        verdict = judged('request "{request}"\nprompt "{request}"\n', {})
        assert verdict.score == 0.0, verdict.rationale

    def test_a_pile_of_skills(self) -> None:
        every = "".join(f"use skill {name}\n" for name in needs._PATTERNS if f"use skill {name}" not in GOOD)
        assert judged(GOOD.replace("prompt", every + "prompt", 1)).score == 0.75

    def test_requirements_that_the_prompt_does_not_state(self) -> None:
        spam = "".join(f'require attribute("kite", "shade {n}")\n' for n in range(6))
        assert judged(GOOD + spam).score == 0.75

    def test_requirements_about_things_that_nobody_asked_for(self) -> None:
        idle = GOOD.replace("exactly four red kites", "exactly four red kites and one blue cup")
        verdict = judged(idle + 'require attribute("cup", "blue")\n')
        assert verdict.score == 0.75
        assert "nobody asked for" in verdict.rationale

    def test_a_copied_passage(self) -> None:
        passage = "Norrin Bay has the motto CALM NORTH and is known for " + "boats and nets and ropes " * 8
        values = {**VALUES, "facts": Evidence((Snippet(passage, "Norrin Bay"),))}
        verdict = judged(GOOD.replace("In the centre", f"{passage}. In the centre"), values)
        assert verdict.score == 0.75
        assert "copies whole passages" in verdict.rationale

    def test_a_pile_of_words(self) -> None:
        verdict = judged(GOOD.replace("In the centre", "quietly and softly " * 130 + "In the centre"))
        assert verdict.score == 0.75
        assert "400 words" in verdict.rationale

    def test_searches_for_something_else(self) -> None:
        other = GOOD.replace("motto of Norrin Bay", "weather in the mountains").replace(
            "Norrin Bay emblem", "sheep"
        )
        values = {
            "facts": Evidence((Snippet("Sheep graze in the mountains.", "Sheep"),)),
            "motto": "Sheep graze in the mountains.",
            "pictures": Images(
                (ImageHandle("s.png", "0" * 64, 9, 9, id="IMG_001", caption="Sheep on a hill"),)
            ),
        }
        verdict = judged(other, values)
        assert verdict.score is not None
        assert verdict.score <= 0.25, verdict.rationale


@pytest.mark.parametrize(
    ("request_text", "skills"),
    [
        ('A poster with the title "SPRING"', {"text_rendering"}),
        ("six lanterns on a plain ground", {"quantity_counting"}),
        ("a crown above a flower", {"spatial_layout"}),
        ("a red kite and a blue star", {"attribute_binding"}),
        ("a cat with every leg in sight", {"anatomy_body_coherence"}),
        ("a heart all of glass", {"physical_material_consistency"}),
        ("a harbour at dusk", {"aesthetic_drawing"}),
        ("a boat covered in bricks", {"creative_drawing"}),
        ("a harbour", set()),
    ],
)
def test_needs_by_wording(request_text: str, skills: set[str]) -> None:
    assert needs.skills_needed(request_text) >= skills
    assert bool(needs.skills_needed(request_text)) == bool(skills)
