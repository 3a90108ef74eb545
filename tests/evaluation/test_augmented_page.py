"""The page of augmented rows: in words, and in a browser."""

from __future__ import annotations

import re

import pytest

from tests.evaluation.chromium import Chromium
from tests.evaluation.test_page import NASTY, Tree, measured


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "data.html"
    measured().to_html(path, title=f"Rows of {NASTY}")
    return path


@pytest.fixture(scope="module")
def tree(path) -> Tree:
    return Tree(path.read_text(encoding="utf-8"))


def test_parts_are_there_in_order(tree):
    assert tree.texts("h1") == [f"Rows of {NASTY}"]
    assert tree.texts("h2") == [
        "Is it too much?",
        "Augmented rows in figures",
        "Columns before and after",
        "What each op changed",
        "Do rows keep their labels?",
        "Distributions",
        "How it was measured",
    ]
    ids = [element[1]["id"] for element in tree.elements if "id" in element[1]]
    assert len(ids) == len(set(ids))
    assert len(tree.all("caption")) == len(tree.all("table")) > 4
    for element in tree.all("svg"):
        assert element[1].get("aria-label") or element[1].get("aria-hidden") == "true"


def test_nothing_is_loaded_and_no_number_is_missing(path):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(|<script", text)
    assert not re.search(r"\bnan\b|\binf\b|None", Tree(text).all("main")[0][2].split("Settings")[0])


def test_in_a_browser(path, tmp_path):
    browser = Chromium(tmp_path)
    assert browser.console(path) == []
    for dark in (False, True):
        for width in (390, 1200):
            found = browser.probe(path, width=width, dark=dark)
            assert found["errors"] == []
            assert found["scroll"] <= width
            assert found["dark"] == dark
            assert found["requests"] == []
            picture = path.parent / f"{'dark' if dark else 'light'}-{width}.png"
            browser.picture(path, picture, width=width, height=3000, dark=dark)
            assert picture.stat().st_size > 20_000
