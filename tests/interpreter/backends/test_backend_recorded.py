"""Recordings answer the same calls again, byte for byte, without asking anybody."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from web import Plain, ask, evidence, handle

from genevolve.grammar.errors import ConfigurationError, ServiceError, StorageError
from genevolve.interpreter.backends.bundle import Bundle, Call
from genevolve.interpreter.backends.recorded import RecordingBackend, ReplayBackend
from genevolve.interpreter.cache import canonical
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Evidence, Images, Snippet, to_json

DOWN = ServiceError("down")


def record(folder: Path, inner: Plain) -> RecordingBackend:
    return RecordingBackend(inner, Bundle.create(folder))


def replay(folder: Path) -> ReplayBackend:
    return ReplayBackend(Bundle.open(folder))


def pictures(folder: Path) -> Images:
    return Images(
        (
            handle(folder / "a.png", "red", id="IMG_001", title="A", source="https://a.example", score=0.5),
            handle(folder / "b.png", "blue", id="IMG_002", title="B", caption="b"),
        )
    )


def test_texts_and_pictures_come_again(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    inner = Plain("web", evidence("x", "y"))
    texts = ask(lambda: record(folder, inner).search(["q", "r"], 5, CallContext()))
    seen = ask(lambda: record(folder, Plain("web", pictures(tmp_path))).image_search("p", 2, CallContext()))
    (tmp_path / "a.png").unlink()
    again = replay(folder)
    assert canonical(to_json(ask(lambda: again.search(["q", "r"], 5, CallContext())))) == canonical(
        to_json(texts)
    )
    pics = ask(lambda: again.image_search("p", 2, CallContext()))
    assert canonical(to_json(pics)) == canonical(to_json(seen))
    assert all(Path(i.path).parent == folder / "pictures" for i in pics.items)
    assert pics.items[0].file.read_bytes() == handle(tmp_path / "c.png", "red").file.read_bytes()


def test_a_bundle_may_be_moved(tmp_path: Path) -> None:
    ask(
        lambda: record(tmp_path / "one", Plain("web", pictures(tmp_path))).image_search("p", 2, CallContext())
    )
    shutil.move(tmp_path / "one", tmp_path / "two")
    found = ask(lambda: replay(tmp_path / "two").image_search("p", 2, CallContext()))
    assert all(i.file.is_file() for i in found.items)


def test_a_question_has_one_answer(tmp_path: Path) -> None:
    inner = Plain("web", evidence("x"), evidence("y"))
    backend = record(tmp_path / "b", inner)
    first = ask(lambda: backend.search(["q"], 5, CallContext()))
    assert ask(lambda: backend.search(["q"], 5, CallContext())) == first
    assert ask(lambda: record(tmp_path / "b", inner).search(["q"], 5, CallContext())) == first
    assert len(inner.asked) == 1
    assert ask(lambda: backend.search(["q"], 4, CallContext())) == evidence("y")


def test_an_unknown_question_is_told(tmp_path: Path) -> None:
    ask(lambda: record(tmp_path / "b", Plain("web", evidence("x"))).search(["q"], 3, CallContext()))
    again = replay(tmp_path / "b")
    with pytest.raises(
        ServiceError, match=r'holds no answer to search\("tower\\u001b", "é", top_k: 5\)|search'
    ) as caught:
        ask(lambda: again.search(["tower\x1b", "é"], 5, CallContext()))
    assert '"é"' in str(caught.value)
    assert str(caught.value).isprintable()
    with pytest.raises(ServiceError, match=r"there is one for top_k: 3"):
        ask(lambda: again.search(["q"], 5, CallContext()))
    with pytest.raises(ServiceError, match="image_search"):
        ask(lambda: again.image_search("q", 3, CallContext()))


def test_a_failure_is_recorded_until_there_is_an_answer(tmp_path: Path) -> None:
    backend = record(tmp_path / "b", Plain("web", DOWN, evidence("x")))
    with pytest.raises(ServiceError, match="down"):
        ask(lambda: backend.search(["q"], 5, CallContext()))
    with pytest.raises(ServiceError, match="down"):
        ask(lambda: replay(tmp_path / "b").search(["q"], 5, CallContext()))
    assert ask(lambda: backend.search(["q"], 5, CallContext())) == evidence("x")
    assert ask(lambda: replay(tmp_path / "b").search(["q"], 5, CallContext())) == evidence("x")


def test_nothing_found_is_recorded(tmp_path: Path) -> None:
    ask(lambda: record(tmp_path / "b", Plain("web", Evidence())).search(["q"], 5, CallContext()))
    assert ask(lambda: replay(tmp_path / "b").search(["q"], 5, CallContext())) == Evidence()


def test_notes_are_recorded(tmp_path: Path) -> None:
    class Noting(Plain):
        async def search(self, queries: Any, top_k: int, context: CallContext) -> Evidence:
            context.note("two failed", fleeting=True)
            return evidence("x")

    first, again = CallContext(), CallContext()
    ask(lambda: record(tmp_path / "b", Noting("web", DOWN)).search(["q"], 5, first))
    ask(lambda: replay(tmp_path / "b").search(["q"], 5, again))
    assert first.notes == again.notes == ["two failed"]


_WRITER = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from web import Plain, evidence, handle
from genevolve.interpreter.backends.bundle import Bundle
from genevolve.interpreter.backends.recorded import RecordingBackend
from genevolve.interpreter.protocols import CallContext
from genevolve.interpreter.values import Images
async def main(who, folder):
    inner = Plain("web", *(evidence(f"{who}{n}") for n in range(40)))
    backend = RecordingBackend(inner, Bundle.create(folder))
    for n in range(40):
        found = await backend.search([f"q{n}"], 5, CallContext())
        print(n, found.snippets[0].text)
    picture = handle(folder.parent / f"{who}.png", "red")
    other = RecordingBackend(Plain("web", Images((picture,))), Bundle.create(folder))
    await other.image_search("p", 1, CallContext())
asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
"""


def test_processes_that_write_at_once_agree(tmp_path: Path) -> None:
    here = Path(__file__).parent
    paths = [str(here), str(here.parents[1] / "net")]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, who, str(tmp_path / "b"), *paths],
            stdout=subprocess.PIPE,
            text=True,
        )
        for who in ("a", "b", "c")
    ]
    outputs = [w.communicate(timeout=60)[0] for w in writers]
    assert all(w.returncode == 0 for w in writers)
    assert len(set(outputs)) == 1
    assert len(outputs[0].splitlines()) == 40
    lines = (tmp_path / "b" / "calls.jsonl").read_text().splitlines()
    assert len(lines) == 41
    assert all(json.loads(line)["key"] for line in lines)
    again = replay(tmp_path / "b")
    replayed = [
        ask(lambda n=n: again.search([f"q{n}"], 5, CallContext())).snippets[0].text for n in range(40)
    ]
    assert [f"{n} {t}" for n, t in enumerate(replayed)] == outputs[0].splitlines()


def test_a_writer_that_was_killed_spoils_only_its_line(tmp_path: Path) -> None:
    backend = record(tmp_path / "b", Plain("web", evidence("x")))
    ask(lambda: backend.search(["q"], 5, CallContext()))
    with (tmp_path / "b" / "calls.jsonl").open("ab") as file:
        file.write(b'{"key": "abc", "val')
    ask(lambda: record(tmp_path / "b", Plain("web", evidence("y"))).search(["r"], 5, CallContext()))
    again = replay(tmp_path / "b")
    assert ask(lambda: again.search(["q"], 5, CallContext())) == evidence("x")
    assert ask(lambda: again.search(["r"], 5, CallContext())) == evidence("y")


def test_what_is_added_is_seen_by_those_who_read(tmp_path: Path) -> None:
    backend = record(tmp_path / "b", Plain("web", evidence("x")))
    reader = replay(tmp_path / "b")
    ask(lambda: backend.search(["q"], 5, CallContext()))
    assert ask(lambda: reader.search(["q"], 5, CallContext())) == evidence("x")


@pytest.mark.parametrize(
    "value",
    [
        {"type": "text", "value": "x"},
        {"type": "images", "value": []},
        {"type": "evidence", "value": [{"text": 5}]},
        {"type": "evidence", "value": [{"text": "x", "score": "high"}]},
        {"type": "evidence", "value": [{"nonsense": 1}]},
        {"type": "evidence", "value": "x"},
        {"type": "evidence"},
        None,
        5,
    ],
)
def test_damaged_answers_are_told(tmp_path: Path, value: Any) -> None:
    _forge(tmp_path / "b", "search", value)
    with pytest.raises(StorageError, match="damaged"):
        ask(lambda: replay(tmp_path / "b").search(["q"], 5, CallContext()))


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "../../../../etc/passwd"},
        {"sha256": "a" * 64},
        {"media_type": "../../etc"},
        {"width": "1"},
        {"width": True},
        {"path": 5},
    ],
)
def test_pictures_of_a_strangers_bundle(tmp_path: Path, changes: dict[str, Any]) -> None:
    image = {"path": "/etc/passwd", "sha256": "b" * 64, "width": 1, "height": 1, "media_type": "image/png"}
    _forge(tmp_path / "b", "image_search", {"type": "images", "value": [image | changes]})
    with pytest.raises(StorageError):
        ask(lambda: replay(tmp_path / "b").image_search("q", 5, CallContext()))


def test_a_picture_that_was_changed_or_linked_is_refused(tmp_path: Path) -> None:
    ask(lambda: record(tmp_path / "b", Plain("web", pictures(tmp_path))).image_search("q", 5, CallContext()))
    [first, *_] = sorted((tmp_path / "b" / "pictures").iterdir())
    first.write_bytes(b"x")
    with pytest.raises(StorageError, match="damaged"):
        ask(lambda: replay(tmp_path / "b").image_search("q", 5, CallContext()))
    first.unlink()
    first.symlink_to("/etc/passwd")
    with pytest.raises(StorageError, match="missing"):
        ask(lambda: replay(tmp_path / "b").image_search("q", 5, CallContext()))


def test_texts_of_a_strangers_bundle_are_scrubbed(tmp_path: Path) -> None:
    snippet = {"text": "a\x1b[31mb\u202e", "title": "t\x00", "source": "s\x07", "score": 1.0}
    _forge(tmp_path / "b", "search", {"type": "evidence", "value": [snippet]})
    found = ask(lambda: replay(tmp_path / "b").search(["q"], 5, CallContext()))
    assert found == Evidence((Snippet("a[31mb", "t", "s", 1.0),))


def _forge(folder: Path, kind: Any, value: Any) -> None:
    Bundle.create(folder)
    line = {"key": Call(kind, ("q",), 5).key, "kind": kind, "queries": ["q"], "top_k": 5, "value": value}
    (folder / "calls.jsonl").write_text(json.dumps(line) + "\n")


def test_folders_that_are_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no recording"):
        Bundle.open(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="folder of its own"):
        Bundle.create(tmp_path)
    other = tmp_path / "other"
    Bundle.create(other)
    (other / "bundle.json").write_text('{"format": "genevolve-search-bundle", "schema": 99}')
    with pytest.raises(ConfigurationError, match="another version"):
        Bundle.open(other)
    (other / "bundle.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="no recording"):
        Bundle.open(other)
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be made"):
        Bundle.create(tmp_path / "file" / "b")


def test_many_at_once(tmp_path: Path) -> None:
    inner = Plain("web", *(evidence(f"x{n}") for n in range(60)))
    backend = record(tmp_path / "b", inner)

    async def main() -> list[Evidence]:
        return list(
            await asyncio.gather(*(backend.search([f"q{n % 6}"], 5, CallContext()) for n in range(60)))
        )

    found = asyncio.run(main())
    for n in range(6):
        assert len({f.snippets for f in found[n::6]}) == 1
