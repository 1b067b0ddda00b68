from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from library_tools import CountingEmbedder, picture, write

from genevolve.grammar.errors import Cancelled, ConfigurationError, StorageError
from genevolve.interpreter.library import Library, ReadLimits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "files"
    found.mkdir()
    return found


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_only_what_changed_is_read(folder: Path, cache: Path) -> None:
    write(folder, a_md="# A\n\nApples.", b_txt="Bananas.", c__d_html="<p>Cherries.")
    picture(folder / "e.png")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    first = library.index()
    assert (first.added, first.read) == (("a.md", "b.txt", "c/d.html", "e.png"), 4)
    assert (library.index().unchanged, library.index().read) == (4, 0)

    (folder / "b.txt").write_text("Blueberries instead.")
    (folder / "a.md").unlink()
    write(folder, f_json='{"fruit": "figs"}')
    report = library.index()
    assert (report.added, report.changed, report.removed) == (("f.json",), ("b.txt",), ("a.md",))
    assert (report.unchanged, report.read) == (2, 2)
    assert not library.search("apples bananas").snippets
    assert [s.source for s in library.search("blueberries").snippets] == ["b.txt"]


def test_touching_a_file_reads_it_but_changes_nothing(folder: Path, cache: Path) -> None:
    write(folder, a_txt="Apples.", b_txt="Bananas.")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    library.index()
    version = library.version
    os.utime(folder / "a.txt", ns=(1, 1))
    report = library.index()
    assert (report.read, report.unchanged, report.changed) == (1, 2, ())
    assert library.version == version


def test_verify_finds_what_size_and_time_do_not_tell(folder: Path, cache: Path) -> None:
    write(folder, a_txt="Apples.")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    library.index()
    status = (folder / "a.txt").stat()
    (folder / "a.txt").write_text("Orange.")
    os.utime(folder / "a.txt", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert library.index().read == 0
    assert library.index(verify=True).changed == ("a.txt",)


def test_renames_and_copies_keep_what_was_embedded(folder: Path, cache: Path) -> None:
    write(folder, a_md="# A\n\nApples.\n\n## More\n\nPears.")
    picture(folder / "x.png")
    write(folder, x_txt="A red square.")
    embedder = CountingEmbedder()
    library = Library.open(folder, cache_dir=cache, embedder=embedder)
    assert library.index().embedded == 3
    (folder / "sub").mkdir()
    (folder / "a.md").rename(folder / "sub/z.md")
    (folder / "x.png").rename(folder / "y.png")
    (folder / "x.txt").rename(folder / "y.txt")
    shutil.copy(folder / "sub/z.md", folder / "copy.md")
    report = library.index()
    assert sorted(report.renamed + tuple(("", p) for p in report.added)) == sorted(
        (("a.md", "copy.md"), ("", "sub/z.md"), ("x.png", "y.png"))
    )
    assert (report.embedded, len(embedder.embedded)) == (0, 3)
    # The same passage twice is one result.
    assert len(library.search("apples").snippets) == 1


def test_a_picture_named_anew_without_caption_is_found_by_its_new_name(folder: Path, cache: Path) -> None:
    picture(folder / "red_square.png")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    assert library.search_images("red square").items
    (folder / "red_square.png").rename(folder / "ruby_tile.png")
    library.index()
    assert not library.search_images("red square").items
    assert library.search_images("ruby tile").items[0].source == "ruby_tile.png"


def test_a_new_or_changed_sidecar_changes_the_picture(folder: Path, cache: Path) -> None:
    picture(folder / "x.png")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    library.index()
    write(folder, x_txt="A scarlet tile.")
    assert library.index().changed == ("x.png",)
    assert library.search_images("scarlet").items[0].caption == "A scarlet tile."
    (folder / "x.txt").unlink()
    assert library.index().changed == ("x.png",)
    assert not library.search_images("scarlet").items


def test_three_thousand_files(folder: Path, cache: Path) -> None:
    for number in range(3_000):
        file = folder / f"{number % 30}" / f"{number}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"Document {number} tells of subject{number} and of nothing else.")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    first = library.index()
    assert (len(first.added), first.read) == (3_000, 3_000)
    second = library.index()
    assert (second.unchanged, second.read) == (3_000, 0)
    (folder / "7/7.txt").write_text("Document 7 tells of zebras now.")
    third = Library.open(folder, cache_dir=cache, embedder=None).index()
    assert (third.read, third.changed) == (1, ("7/7.txt",))
    assert [s.source for s in library.search("subject2999").snippets] == ["29/2999.txt"]
    assert [s.source for s in library.search("zebras").snippets] == ["7/7.txt"]


# ---- what is left out ----


def test_what_is_skipped_is_reported_with_the_reason(folder: Path, cache: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("A secret outside.")
    (tmp_path / "beyond").mkdir()
    write(
        folder,
        good_txt="Good text.",
        empty_txt="",
        big_txt="big " * 500,
        _hidden_txt="hidden",
        z__inner_txt="Inner text.",
    )
    (folder / "_hidden.txt").rename(folder / ".hidden.txt")
    (folder / ".git").mkdir()
    (folder / "leak.txt").symlink_to(outside)
    (folder / "tree").symlink_to(tmp_path / "beyond")
    (folder / "inner").symlink_to(folder / "z")
    (folder / "peek.txt").symlink_to(folder / ".hidden.txt")
    (folder / "broken.txt").symlink_to(folder / "nowhere")
    (folder / "loop.txt").symlink_to(folder / "loop.txt")
    (folder / "again.txt").symlink_to(folder / "good.txt")
    os.mkfifo(folder / "pipe.txt")
    (folder / "program.exe").write_bytes(b"MZ")
    (folder / "fake.png").write_text("no picture")
    (folder / "bad.json").write_text("{")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket.md"))
        library = Library.open(
            folder, cache_dir=cache, embedder=None, limits=ReadLimits(document_bytes=1_000)
        )
        report = library.index()
    assert report.added == ("again.txt", "good.txt", "z/inner.txt")
    reasons = dict(report.skipped)
    for path, reason in {
        ".hidden.txt": "hidden",
        ".git": "hidden",
        "leak.txt": "out of the library",
        "tree": "out of the library",
        "inner": "link to a folder",
        "peek.txt": "hidden",
        "broken.txt": "cannot be looked at",
        "loop.txt": "cannot be looked at",
        "pipe.txt": "no regular file",
        "socket.md": "no regular file",
        "program.exe": "format",
        "fake.png": "not a PNG, JPEG or WebP",
        "bad.json": "not JSON",
        "empty.txt": "empty",
        "big.txt": "larger than 1,000 bytes",
    }.items():
        assert reason in reasons.pop(path), path
    assert not reasons
    assert not library.search("secret outside").snippets
    again = library.index()
    assert (again.read, again.skipped) == (0, report.skipped)


def test_a_file_that_may_not_be_read_is_tried_again(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder, a_txt="Apples.")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    from genevolve.interpreter.library import indexer

    def denied(file: Path, most: int) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(indexer, "read_regular", denied)
        assert library.index().skipped == (("a.txt", "it cannot be read: Permission denied"),)
    assert library.index().added == ("a.txt",)


def test_ignored_files(folder: Path, cache: Path) -> None:
    write(folder, a_txt="Apples.", b_md="Bananas.", drafts__c_txt="Cherries.", deep__drafts__d_txt="Dates.")
    (folder / ".genevolveignore").write_text("# comment\n*.md\ndrafts/\n")
    report = Library.open(folder, cache_dir=cache, embedder=None).index()
    assert report.added == ("a.txt",)
    assert report.skipped == ()


def test_names_beyond_utf8_and_with_control_characters(folder: Path, cache: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("Latin name.")
    (folder / "line\nbreak \u202egnp.txt").write_text("Odd name.")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    assert library.index().skipped == (("caf\\udce9.txt", "its name is not UTF-8"),)
    assert library.search("odd name").snippets[0].title == "line break gnp"


# ---- where the index lies, and what happens to it ----


def test_nothing_is_written_into_the_folder(folder: Path, cache: Path) -> None:
    write(folder, a_txt="Apples.")
    before = sorted(folder.rglob("*"))
    Library.open(folder, cache_dir=cache, embedder=None).search("apples")
    assert sorted(folder.rglob("*")) == before


def test_the_user_cache_folder_is_the_default(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    library = Library.open(folder, embedder=None)
    assert tmp_path in library.stats().cache.parents


def test_a_folder_is_one_library_by_any_name(folder: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder)
    write(folder, a_txt="Apples.")
    Library.open(folder, cache_dir=cache, embedder=None).index()
    assert Library.open(tmp_path / "link", cache_dir=cache, embedder=None).index().read == 0


def test_several_folders(tmp_path: Path, cache: Path) -> None:
    write(
        tmp_path,
        one__notes__a_txt="Apples.",
        two__notes__b_txt="Bananas.",
        one__notes__deep__c_txt="Cherries.",
    )
    folders = [tmp_path / "one/notes", tmp_path / "two/notes", tmp_path / "one/notes/deep"]
    library = Library.open(folders, cache_dir=cache, embedder=None)
    found = {s.source for s in library.search(["apples", "bananas", "cherries"]).snippets}
    assert found == {"notes/a.txt", "notes-2/b.txt", "notes/deep/c.txt"}


def test_a_cache_inside_the_library_is_not_indexed(folder: Path) -> None:
    write(folder, a_txt="Apples.")
    library = Library.open(folder, cache_dir=folder / "cache", embedder=None)
    library.search("apples")
    assert library.index().added == ()
    assert library.stats().documents == 1


@pytest.mark.parametrize("damage", ["garbage", "cut", "empty", "older"])
def test_a_damaged_index_is_made_anew(folder: Path, cache: Path, damage: str) -> None:
    write(folder, a_txt="Apples.")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    library.index()
    file = library.stats().cache / "index.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if damage == "older":
            connection.execute("UPDATE meta SET value = '0' WHERE key = 'format'")
    connection.close()
    data = file.read_bytes()
    if damage != "older":
        file.write_bytes({"garbage": b"garbage" * 1000, "cut": data[:100], "empty": b""}[damage])
    again = Library.open(folder, cache_dir=cache, embedder=None)
    assert again.index().added == ("a.txt",)
    assert again.search("apples").snippets


def test_a_damaged_word_index_is_made_anew(folder: Path, cache: Path) -> None:
    write(folder, a_txt="Apples.")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    library.search("apples")
    words = next((library.stats().cache / "words").iterdir())
    for file in words.iterdir():
        file.write_bytes(b"x")
    assert Library.open(folder, cache_dir=cache, embedder=None).search("apples").snippets


def test_old_word_indexes_are_removed(folder: Path, cache: Path) -> None:
    library = Library.open(folder, cache_dir=cache, embedder=None)
    for number in range(3):
        write(folder, **{f"f{number}_txt": f"Text {number} of apples."})
        library.index()
        assert len(library.search("apples").snippets) == number + 1
    assert len(list((library.stats().cache / "words").iterdir())) == 1


def test_folders_that_are_not_there(folder: Path, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("x")
    for bad, message in (
        (tmp_path / "no", "does not exist"),
        (file, "is no folder"),
        ("a\0b", "cannot be opened"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            Library.open(bad, cache_dir=cache, embedder=None)
    with pytest.raises(ConfigurationError, match="at least one"):
        Library.open([], cache_dir=cache, embedder=None)
    with pytest.raises(StorageError, match="cannot be made"):
        Library.open(folder, cache_dir=file, embedder=None)


def test_an_empty_folder(folder: Path, cache: Path) -> None:
    library = Library.open(folder, cache_dir=cache, embedder=CountingEmbedder())
    assert library.search("anything").snippets == ()
    assert library.search_images("anything").items == ()
    assert library.index().unchanged == 0


def test_two_models_do_not_mix(folder: Path, cache: Path) -> None:
    write(folder, a_txt="Apples.", b_txt="Bananas.")
    small, large = CountingEmbedder("small", 16), CountingEmbedder("large", 128)
    one = Library.open(folder, cache_dir=cache, embedder=small)
    two = Library.open(folder, cache_dir=cache, embedder=large)
    assert (one.index().embedded, two.index().embedded, two.index().embedded) == (2, 2, 0)
    assert one.stats().vectors == two.stats().vectors == 2
    assert one.search("apples").snippets[0].source == two.search("apples").snippets[0].source == "a.txt"
    assert one.version != two.version != Library.open(folder, cache_dir=cache, embedder=None).version


# ---- stopping, dying, crowding ----


def test_a_stopped_index_goes_on_where_it_was(folder: Path, cache: Path) -> None:
    for number in range(200):
        (folder / f"{number:03}.txt").write_text(f"Text number {number}.")
    library = Library.open(folder, cache_dir=cache, embedder=CountingEmbedder())
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 150:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        library.index(check=check)
    assert library.stats().documents == 0  # readers see the library as it was
    with sqlite3.connect(library.stats().cache / "index.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM contents").fetchone()[0] == 128
    connection.close()
    assert len(library.index().added) == 200


def test_progress_is_told(folder: Path, cache: Path) -> None:
    write(folder, a_txt="Apples.", b_txt="Bananas.")
    told: list[tuple[str, int, int]] = []
    library = Library.open(folder, cache_dir=cache, embedder=CountingEmbedder())
    library.index(lambda what, done, total: told.append((what, done, total)))
    assert told == [("read", 0, 2), ("read", 1, 2), ("read", 2, 2), ("embed", 0, 2), ("embed", 2, 2)]


_INDEXER = """
import sys
from genevolve.interpreter.library import Library
library = Library.open(sys.argv[1], cache_dir=sys.argv[2], embedder=None)
print("ready", flush=True)
sys.stdin.readline()
report = library.index()
print(report.read, len(library.search("subject").snippets), library.version, flush=True)
"""


def _spawn(folder: Path, cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen(
        [sys.executable, "-c", _INDEXER, str(folder), str(cache)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def test_several_processes_index_at_once(folder: Path, cache: Path) -> None:
    for number in range(300):
        (folder / f"{number}.txt").write_text(f"Text {number} on the subject.")
    processes = [_spawn(folder, cache) for _ in range(3)]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60)[0].split() for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert sorted(int(read) for read, _, _ in answers) == [0, 0, 300]  # one works, the others wait
    assert {(found, version) for _, found, version in answers} == {("5", answers[0][2])}


def test_a_killed_process_leaves_a_usable_index(folder: Path, cache: Path) -> None:
    for number in range(3_000):
        (folder / f"{number}.md").write_text(f"# Text {number}\n\nOn the subject.")
    process = _spawn(folder, cache)
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    process.stdin.write("go\n")
    process.stdin.flush()
    library = Library.open(folder, cache_dir=cache, embedder=None)
    file = library.stats().cache / "index.sqlite"
    kept = 0
    while kept < 64 and process.poll() is None:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as connection:
            kept = connection.execute("SELECT count(*) FROM contents").fetchone()[0]
        connection.close()
    process.kill()
    process.communicate()
    assert library.stats().documents in (0, 3_000)
    library.index()
    assert library.stats().documents == 3_000
    assert library.search("text 1234").snippets[0].source == "1234.md"


def test_threads_share_a_library_while_files_change(folder: Path, cache: Path) -> None:
    write(folder, stable_txt="The stable subject stays.")
    library = Library.open(folder, cache_dir=cache, embedder=CountingEmbedder())
    faults: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(20):
                assert "stable.txt" in {s.source for s in library.search("stable subject").snippets}
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        (folder / f"new{number}.txt").write_text(f"Something new {number}.")
        library.index()
    for thread in threads:
        thread.join()
    assert not faults


def test_searches_notice_changes(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from genevolve.interpreter.library import library as module

    monkeypatch.setattr(module, "_FRESH", 0.0)
    write(folder, a_txt="Apples.")
    library = Library.open(folder, cache_dir=cache, embedder=None)
    version = library.version
    assert not library.search("bananas").snippets
    write(folder, b_txt="Bananas.")
    assert library.search("bananas").snippets
    assert library.version != version
