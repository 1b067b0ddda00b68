"""The packaged guides keep to their own rules; folders of the user's are checked before use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genevolve.grammar.builtins import PREDICATES
from genevolve.grammar.errors import ConfigurationError
from genevolve.grammar.parser import parse_statement
from genevolve.interpreter.protocols import Skill
from genevolve.programs.skillbook import (
    INDEX,
    MAX_FILE_BYTES,
    PACKAGED,
    load_infos,
    load_skills,
    read_skill,
    skill_infos,
    write_index,
)

EIGHT = {
    "spatial_layout",
    "aesthetic_drawing",
    "text_rendering",
    "creative_drawing",
    "anatomy_body_coherence",
    "attribute_binding",
    "physical_material_consistency",
    "quantity_counting",
}
SECTIONS = ["When to use", "When not", "How to word the prompt", "Checks", "Examples"]

GOOD = """---
name: {name}
description: Draw knots that hold.
metadata:
  expects: [count, relation]
  guards: ["loose ends", "frayed rope"]
  author: somebody
---

# Knots

Say over and under.
"""


def write_skill(folder: Path, name: str, text: str | bytes | None = None) -> Path:
    path = folder / name / "SKILL.md"
    path.parent.mkdir(parents=True)
    data = GOOD.format(name=name) if text is None else text
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def test_the_eight_are_there() -> None:
    assert set(load_skills()) == EIGHT


@pytest.mark.parametrize("name", sorted(EIGHT))
class TestPackaged:
    def test_satisfies_the_protocol(self, name: str) -> None:
        skill = load_skills()[name]
        assert isinstance(skill, Skill)
        assert skill.info == skill_infos(load_skills())[name]
        assert "Use it " in skill.summary

    def test_sections_in_order_and_length(self, name: str) -> None:
        guide = load_skills()[name].guide
        assert re.findall(r"^## (.+)$", guide, re.MULTILINE) == SECTIONS
        assert 400 <= len(guide.split()) <= 700
        assert guide.count("**Weak:**") == guide.count("**Strong:**") >= 2

    def test_checks_show_valid_statements_that_use_what_is_expected(self, name: str) -> None:
        skill = load_skills()[name]
        blocks = re.findall(r"```gprog\n(.+?)```", skill.guide, re.DOTALL)
        statements = [line for block in blocks for line in block.splitlines()]
        assert statements
        for statement in statements:
            parsed, wrong = parse_statement(statement)
            assert parsed is not None, wrong
        for predicate in skill.expects:
            assert any(f"{predicate}(" in s for s in statements)

    def test_guards_are_phrases(self, name: str) -> None:
        guards = load_skills()[name].guards
        assert len(guards) >= 3
        # They are joined by ", " in the negative prompt, so a comma inside one would split it.
        assert all(re.fullmatch(r"[a-z -]+", guard) for guard in guards)


def test_the_index_is_up_to_date(tmp_path: Path) -> None:
    """`python -m genevolve.programs.skillbook` writes it anew."""
    write_index(tmp_path / "index.json")
    assert INDEX.read_bytes() == (tmp_path / "index.json").read_bytes()
    assert load_infos() == skill_infos(load_skills())


def test_infos_of_a_users_folder(tmp_path: Path) -> None:
    write_skill(tmp_path, "knots")
    assert load_infos([tmp_path]) == skill_infos(load_skills([tmp_path]))


def test_names_that_guides_speak_of_exist() -> None:
    known = EIGHT | {s.name for s in PREDICATES} | {"avoid", "let"}
    for skill in load_skills().values():
        words = re.findall(r"`([a-z_]+)`", skill.guide)
        assert set(words) <= known, skill.name


def test_a_users_folder_adds_skills(tmp_path: Path) -> None:
    write_skill(tmp_path, "knots")
    skills = load_skills([tmp_path])
    assert set(skills) == EIGHT | {"knots"}
    knots = skills["knots"]
    assert knots.expects == ("count", "relation")
    assert knots.guards == ("loose ends", "frayed rope")
    assert knots.guide.startswith("# Knots")
    assert list(skills) == sorted(skills)


def test_a_folder_may_be_a_skill_itself(tmp_path: Path) -> None:
    path = write_skill(tmp_path, "knots")
    assert load_skills([path.parent])["knots"].path == path


def test_same_folder_twice_is_no_conflict(tmp_path: Path) -> None:
    write_skill(tmp_path, "knots")
    assert "knots" in load_skills([tmp_path, tmp_path])


def test_a_duplicate_name_tells_both_places(tmp_path: Path) -> None:
    path = write_skill(tmp_path, "text_rendering")
    with pytest.raises(ConfigurationError) as caught:
        load_skills([tmp_path])
    assert str(path) in str(caught.value)
    assert str(PACKAGED / "text_rendering") in str(caught.value)
    assert load_skills([tmp_path], override=True)["text_rendering"].path == path


def test_crlf_and_bom_are_accepted(tmp_path: Path) -> None:
    text = GOOD.format(name="knots").replace("\n", "\r\n").encode("utf-8-sig")
    assert read_skill(write_skill(tmp_path, "knots", text)).name == "knots"


def front(**changes: str) -> str:
    lines = {"name": "knots", "description": "Draw knots.", **changes}
    return "---\n" + "".join(f"{k}: {v}\n" for k, v in lines.items()) + "---\nSay over and under.\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with front matter"),
        ("# Knots\n", "must begin with front matter"),
        ("---\nname: knots\n", "must begin with front matter"),
        ("---\n- knots\n---\nx\n", "must be a map"),
        ("---\n1: knots\n---\nx\n", "must be a map"),
        ("---\nname: [knots\n---\nx\n", "front matter, line"),
        ("---\na: &x [1]\nb: [*x, *x]\n---\nx\n", "YAML aliases"),
        (
            "---\nname: !!python/object/apply:os.system ['true']\n---\nx\n",
            "could not determine a constructor",
        ),
        ("---\nwhen: 2001-99-99\n---\nx\n", "not valid YAML"),
        (front(nam="knots"), "did you mean 'name'?"),
        (front(name="rope"), "the folder is 'knots'"),
        (front(name="Knots"), "lower-case words"),
        (front(name="12"), "lower-case words"),
        (front(description="''"), "'description' must be a text"),
        (front(description="x" * 2000), "longer than 1024"),
        (front(metadata="[a]"), "'metadata' must be a map"),
        (front(metadata="{expects: count}"), "must be a list"),
        (front(metadata="{expects: [cuont]}"), "did you mean 'count'?"),
        (front(metadata="{expects: [search]}"), "unknown predicate 'search'"),
        (front(metadata="{guards: [1]}"), "metadata.guards"),
        (front(metadata="{guards: [" + ", ".join(f"g{i}" for i in range(20)) + "]}"), "more than 16"),
        (front().replace("Say over and under.\n", ""), "the guide is empty"),
        (front() + "a\x07b", "line 6 holds the control character U+0007"),
        (front() + "a\u202eb", "U+202E"),
        (front().encode() + b"\xff\xfe", "not UTF-8"),
        (front() + "x" * MAX_FILE_BYTES, "larger than 64 KiB"),
        ("---\na: " + "[" * 8_000 + "\n---\nx\n", "nested more than 8 deep"),
        ("---\na: " + "[" * 20_000 + "\n---\nx\n", "longer than 8192 characters"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) and len(value) < 60 else None,
)
def test_a_bad_skill_is_refused_with_its_place(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write_skill(tmp_path, "knots", text)
    with pytest.raises(ConfigurationError) as caught:
        load_skills([tmp_path])
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_folder_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot read the skills folder"):
        load_skills([tmp_path / "none"])
    with pytest.raises(ConfigurationError, match="no skill in"):
        load_skills([tmp_path])
