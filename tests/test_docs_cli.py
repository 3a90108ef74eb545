"""The output that docs/cli.md shows is what the commands print."""

from __future__ import annotations

import pathlib
import re
import shlex

from tfrs_augment import cli

DOCS = pathlib.Path(__file__).resolve().parents[1] / "docs" / "cli.md"


def test_shown_output_is_real(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    text = DOCS.read_text(encoding="utf-8")
    exec(compile(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], str(DOCS), "exec"), {})
    shown = re.findall(r"```console\n\$ (tfrs-augment .*?)\n(.*?)\n```", text, re.DOTALL)
    assert len(shown) == 10
    for command, expected in shown:
        code = cli.main([*shlex.split(command)[1:]])
        out = capsys.readouterr().out
        assert (code, out.strip("\n").splitlines()) == (0, expected.splitlines()), command
