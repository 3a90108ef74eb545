"""The Python snippets of every page run, in order, a page as one program."""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
_LONG = ("compare", "explain", "reports", "search", "towers")
PAGES = sorted((ROOT / "docs").glob("*.md"))


def snippets(markdown: str) -> str:
    """Returns the text with all but its ```python blocks blanked: line numbers stay the file's."""
    lines, inside = [], False
    for line in markdown.splitlines():
        if inside and line.strip() == "```":
            inside = False
        lines.append(line if inside else "")
        if re.fullmatch(r"```python", line.strip()):
            inside = True
    return "\n".join(lines) + "\n"


def test_snippets_are_the_python_blocks_in_place():
    text = "a\n```python\nb = 1\n```\n```bash\nc\n```\n```python\nd = b\n```\n"
    assert snippets(text).splitlines() == ["", "", "b = 1", "", "", "", "", "", "d = b", ""]


def test_readme_snippets_run(tmp_path):
    program = tmp_path / "README_as_program.py"
    program.write_text(snippets((ROOT / "README.md").read_text(encoding="utf-8")), encoding="utf-8")
    assert "import tfrs_augment as aug" in program.read_text(encoding="utf-8")
    # The variable that tests/conftest.py sets is for the import to set, as for any reader.
    variables = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    done = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env=variables | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"The line numbers are README.md's.\n{done.stderr}"


def _marked(page: pathlib.Path):
    """A page, slow where its snippets train one model after another."""
    marks = [pytest.mark.slow] if page.stem in _LONG else []
    return pytest.param(page, id=page.stem, marks=marks)


@pytest.mark.parametrize("page", map(_marked, PAGES))
def test_snippets_of_the_docs_run(page, tmp_path, monkeypatch):
    if page.stem == "tfx":
        pytest.skip("the page needs TFX; `make test-tfx` runs it (tests/components/test_page.py)")
    monkeypatch.chdir(tmp_path)
    program = snippets(page.read_text(encoding="utf-8"))
    exec(compile(program, str(page), "exec"), {"__name__": page.stem})


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=lambda page: page.stem)
def test_files_that_a_page_links_to_are_there(page):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []
