from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from test_library_search import SAMPLES

PAGE = Path(__file__).parents[3] / "docs" / "library.md"


def test_the_python_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(SAMPLES, tmp_path / "my-files")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), {})
    assert "documents/espresso.md" in capsys.readouterr().out


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    from genevolve.interpreter.images import ImageLimits
    from genevolve.interpreter.library import ReadLimits, captions, readers
    from genevolve.interpreter.library import html as html_reader

    page = PAGE.read_text(encoding="utf-8")
    limits, pictures = ReadLimits(), ImageLimits()
    for shown in (
        f"{limits.document_bytes // 2**20} MiB, {limits.passages:,} passages",
        f"{limits.pages} pages, {limits.pdf_seconds:g} seconds",
        f"nested {html_reader._DEPTH} deep",
        f"{readers._JSON_DEPTH} levels, {readers._JSON_VALUES:,} values",
        f"{pictures.max_bytes // 2**20} MiB, {pictures.max_pixels // 10**6} million pixels, {pictures.max_side:,}",
        f"{captions.SIDECAR_BYTES // 1024} KiB",
    ):
        assert shown in page, shown
