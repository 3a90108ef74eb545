"""scripts/debian13_lane: what it refuses before it touches anything. `docs/tfx_debian13.md` runs it."""

from __future__ import annotations

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "debian13_lane"


def refusal(*arguments: object) -> str:
    """Returns what the script says; it must say it in one line and fail."""
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_a_folder_must_be_named():
    assert "Usage: scripts/debian13_lane ROOT [COMMAND...]" in refusal()


def test_folders_of_the_project_are_refused_and_not_made():
    for folder in (ROOT, ROOT / "debian13", ROOT / "docs" / ".." / "debian13"):
        assert f"outside the project. Received: {folder.resolve()}" in refusal(folder, "true")
    assert not (ROOT / "debian13").exists()


def test_the_root_of_the_file_system_is_refused():
    assert "Received: /" in refusal("/", "true")


def test_a_folder_with_other_files_is_refused_and_kept(tmp_path):
    (tmp_path / "thesis.txt").write_text("final")
    assert f"a folder that this script made. Received: {tmp_path}" in refusal(tmp_path, "true")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
