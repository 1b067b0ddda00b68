"""The example programs check, run on the sample library, and together show the whole language."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from genevolve.grammar.builtins import PREDICATES, RENDER_SETTINGS, TOOLS
from genevolve.grammar.diagnostics import Severity
from genevolve.grammar.errors import ProgramError
from genevolve.grammar.tree import (
    Argument,
    Call,
    Comparison,
    Expression,
    Hole,
    Index,
    ProgramHeader,
    Ref,
    Render,
    Require,
    Statement,
    StatementHole,
    String,
    Use,
)
from genevolve.interpreter.config import load_config
from genevolve.interpreter.machine import Machine
from genevolve.programs.program import Program
from genevolve.programs.session import LIBRARY, open_machine
from genevolve.programs.skillbook import load_skills

PROGRAMS = sorted(LIBRARY.glob("*.gprog"))
SKETCHES = sorted((LIBRARY / "sketches").glob("*.gprog"))

KNOWLEDGE = {"launch_poster", "commander_portrait", "coin_tray", "palace_cover", "bond_chart", "galaxy_quilt"}
"""Programs whose picture would be wrong without facts; the others are about visible quality."""


@pytest.fixture(scope="module", params=["minilm", "none"])
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """With searches by words and meaning, and by words alone."""
    folder = tmp_path_factory.mktemp("library")
    config = load_config(
        start=folder,
        environment={},
        user_file=folder / "none",
        flags={
            "cache.folder": folder / "cache",
            "runs.record": False,
            "library.embedder": request.param,
        },
    )
    with open_machine(config, program_folder=LIBRARY) as opened:
        yield opened


def name_of(path: Path) -> str:
    return path.stem


class TestEach:
    @pytest.mark.parametrize("path", [*PROGRAMS, *SKETCHES], ids=name_of)
    def test_checks_without_errors_or_warnings(self, path: Path) -> None:
        findings = Program.load(path).check()
        assert [d.message for d in findings.diagnostics if d.severity is not Severity.HINT] == []

    @pytest.mark.parametrize("path", [*PROGRAMS, *SKETCHES], ids=name_of)
    def test_is_formatted_and_commented(self, path: Path) -> None:
        program = Program.load(path)
        assert program.format() == program.source
        assert program.source.startswith("# ")

    @pytest.mark.parametrize("path", PROGRAMS, ids=name_of)
    def test_requires_what_its_skills_expect(self, path: Path) -> None:
        codes = {d.code for d in Program.load(path).check().diagnostics}
        assert "GP510" not in codes

    @pytest.mark.parametrize("path", PROGRAMS, ids=name_of)
    def test_runs_on_the_sample_library(self, path: Path, machine: Machine) -> None:
        program = Program.load(path)
        run = program.run(machine)
        assert run.image is not None
        assert run.image.size == (run.z.settings.width, run.z.settings.height)
        assert len(run.references) == sum(isinstance(s, Ref) for s in program.tree.statements)
        assert len(run.z.constraints) == sum(isinstance(s, Require) for s in program.tree.statements)
        assert len(run.prompt) < 2500
        for skill in run.z.skills:
            for guard in load_skills()[skill].guards:
                assert guard in run.negative_prompt

    @pytest.mark.parametrize("path", SKETCHES, ids=name_of)
    def test_sketches_name_their_holes_instead_of_running(self, path: Path, machine: Machine) -> None:
        sketch = Program.load(path)
        assert sketch.holes
        values = {p.name: "ROME" for p in sketch.parameters}
        with pytest.raises(ProgramError) as caught:
            sketch.run(machine, **values)
        errors = caught.value.findings.errors
        assert {d.code for d in errors} == {"GP601"}
        assert len(errors) == len(sketch.holes)


REFERENCES = {
    "launch_poster": ["falcon-9-on-the-pad.jpg"],
    "commander_portrait": ["eileen-collins.jpg"],
    "espresso_menu": ["espresso-cup.jpg"],
    "coin_tray": ["coins-of-pompeii.jpg"],
    "stone_tabby": ["tabby-cat.jpg", "brick-wall.jpg", "grass.jpg"],
    "palace_cover": ["tower-of-buddhist-incense.jpg"],
    "field_photographer": ["photographer.jpg"],
    "dahlia_vases": [],
    "bond_chart": ["brick-wall.jpg"],
    "galaxy_quilt": ["hubble-extreme-deep-field.jpg"],
}
FACTS = {
    "launch_poster": "11 February 2015",
    "commander_portrait": "orange",
    "coin_tray": "quite round",
    "stone_tabby": "letter M",
    "palace_cover": "eight sides",
    "field_photographer": "viewfinder",
    "dahlia_vases": "globe of florets",
    "bond_chart": "English bond",
    "galaxy_quilt": "blue arms",
}


@pytest.mark.parametrize("path", PROGRAMS, ids=name_of)
def test_the_searches_find_what_the_program_speaks_of(path: Path, machine: Machine) -> None:
    run = Program.load(path).run(machine)
    assert [Path(r.path).name for r in run.references] == REFERENCES[path.stem]
    if path.stem in FACTS:
        assert FACTS[path.stem] in run.prompt


def test_parameters_change_prompt_and_constraints(machine: Machine) -> None:
    program = Program.load(LIBRARY / "launch_poster.gprog")
    run = program.run(machine, title="DSCOVR", visitors=5)
    assert '"DSCOVR"' in run.prompt
    assert "Exactly 5 people" in run.prompt
    assert {"what": "person", "operator": "==", "n": 5} in [dict(c.arguments) for c in run.z.constraints]


def statements() -> Iterator[Statement]:
    for path in [*PROGRAMS, *SKETCHES]:
        yield from Program.load(path).tree.statements


def expressions(node: object) -> Iterator[Expression | Argument]:
    """Every expression below a node."""
    if isinstance(node, tuple):
        for item in node:
            yield from expressions(item)
    elif hasattr(node, "__dataclass_fields__"):
        if isinstance(node, Argument | Call | Comparison | Hole | Index | String):
            yield node
        for name in node.__dataclass_fields__:
            yield from expressions(getattr(node, name))


class TestCoverage:
    def test_enough_programs_of_both_tracks(self) -> None:
        assert len(PROGRAMS) >= 8
        assert {p.stem for p in PROGRAMS} > KNOWLEDGE
        assert len(PROGRAMS) - len(KNOWLEDGE) >= 3

    def test_all_skills(self) -> None:
        assert {s.skill for s in statements() if isinstance(s, Use)} >= set(load_skills())

    def test_every_statement(self) -> None:
        assert {type(s) for s in statements()} == set(get_args(Statement))

    def test_every_builtin_with_its_named_arguments(self) -> None:
        calls = [e for s in statements() for e in expressions(s) if isinstance(e, Call)]
        assert {c.name for c in calls} == {s.name for s in (*TOOLS, *PREDICATES)}
        used = {(c.name, a.name) for c in calls for a in c.arguments if a.name}
        assert used >= {("search", "top_k"), ("image_search", "top_k"), ("text", "at")}

    def test_every_setting_and_parameter_type(self) -> None:
        renders = [s for s in statements() if isinstance(s, Render)]
        assert {a.name for s in renders for a in s.settings} == {p.name for p in RENDER_SETTINGS}
        headers = [s for s in statements() if isinstance(s, ProgramHeader)]
        assert {p.type for h in headers for p in h.parameters} >= {"text", "int", "float", "size", "image"}

    def test_comparison_index_hole_and_strings(self) -> None:
        found = [e for s in statements() for e in expressions(s)]
        assert {type(e) for e in found} >= {Comparison, Index, Hole, String}
        assert len({e.operator for e in found if isinstance(e, Comparison)}) >= 2
        assert any(isinstance(e, String) and e.triple for e in found)
        assert any(isinstance(e, String) and e.interpolations for e in found)

    def test_holes_of_both_kinds(self) -> None:
        assert any(isinstance(s, StatementHole) for s in statements())
        assert any(isinstance(s, Use) and isinstance(s.skill, Hole) for s in statements())
