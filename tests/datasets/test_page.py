"""The snippets of docs/simulated_shop.md run, in order, as one program."""

from __future__ import annotations

import pathlib

from tests.test_readme import snippets

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"


def test_the_page_runs_and_its_picture_is_there(tmp_path, monkeypatch, capsys):
    text = (DOCS / "simulated_shop.md").read_text(encoding="utf-8")
    assert (DOCS / "shop_photos.jpg").stat().st_size < 200_000 and "(shop_photos.jpg)" in text
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    exec(compile(snippets(text), "simulated_shop.md", "exec"), namespace)
    assert namespace["photos"].shape == (400, 48, 48, 3)
    assert "recall=0.5" in capsys.readouterr().out
