"""The page, the Markdown, the JSON and the scalars of a report."""

from __future__ import annotations

import html.parser
import itertools
import json
import re

import numpy as np
import pytest
import tensorflow as tf

import tfrs_augment as aug
from tests.evaluation.chromium import Chromium
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation.measuring.metrics import Ranks
from tfrs_augment.evaluation.measuring.slices import CORPORA, MAIN_SLICES, SLICES, Slices
from tfrs_augment.evaluation.reporting.pages import axes, bars, frame, lines
from tfrs_augment.evaluation.reporting.pages.intervals import Interval, intervals
from tfrs_augment.evaluation.reporting.pages.report import report_page
from tfrs_augment.evaluation.reporting.report import METRICS, Report, Run

NASTY = '<script>alert("x")</script> & \'quoted\' "name"'
ARMS = ("baseline", "policy", "shuffled", NASTY)
USERS, ROWS, ITEMS = 120, 900, 200


class Tree(html.parser.HTMLParser):
    """Elements in order, each as (name, attributes, text, names of the elements around it)."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self._open = [], []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag, attrs):
        around = [element[0] for element in self._open]
        element = [tag, dict(attrs), "", around]
        assert len(attrs) == len(element[1]), f"an attribute of {tag} is given twice"
        self.elements.append(element)
        self._open.append(element)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        for element in self._open:
            element[2] += data

    def all(self, name: str) -> list:
        return [element for element in self.elements if element[0] == name]

    def texts(self, name: str) -> list[str]:
        return [element[2] for element in self.all(name)]


def make_report(
    names=ARMS, /, *, seeds=(0, 1, 2, 3, 4), cold=True, trained=True, **settings
) -> Report:
    """A report of ranks that are drawn: "policy" finds cold items, "shuffled" finds nothing."""
    rng = np.random.default_rng(11)
    runs, slices = {}, {}
    for seed in seeds:
        is_cold = (rng.random(ROWS) < 0.2) & cold
        head = ~is_cold & (rng.random(ROWS) < 0.5)
        masks = {"all": np.ones(ROWS, bool), "warm": ~is_cold, "head": head}
        masks |= {"tail": ~is_cold & ~head, "cold": is_cold}
        masks |= {f"{name}_corpus": masks[name] for name in ("warm", "head", "tail", "cold")}
        slices[seed] = Slices(masks, rng.integers(USERS, size=ROWS))
        base = np.where(is_cold, rng.integers(0, ITEMS, ROWS), rng.integers(0, 60, ROWS))
        for arm in names:
            rank = base + rng.integers(0, 3, ROWS)
            rank = np.where(is_cold, rank // 8, rank) if arm == "policy" else rank
            rank = rng.integers(0, ITEMS, ROWS) if arm == "shuffled" else rank
            ranks = Ranks(rank.astype(np.int32), np.zeros(ROWS, np.int32))
            loss = [3.0 / (1 + e) + 0.1 * seed for e in range(6)] if trained else []
            watched = [0.10, 0.14, 0.15, 0.16, 0.155, 0.15] if trained else []
            runs[arm, seed] = Run(dict.fromkeys(CORPORA, ranks), loss, watched, 3, 2.0)
    return Report("a <small> shop", names[0], tuple(seeds), runs, slices, settings)


def measured():
    """Figures of augmented rows, with a warning, names that are code, numbers, and lists."""
    rng = np.random.default_rng(5)
    rows = {
        NASTY: np.array([f"<b>{i}</b>" for i in rng.integers(0, 15, 300)]),
        "age": rng.integers(18, 70, 300),
        "genres": [[f"g{i}" for i in rng.integers(0, 9, 1 + n % 3)] for n in range(300)],
    }
    policy = aug.AugmentationPolicy(
        [aug.ops.IdDropout(NASTY, rate=0.9), aug.ops.FeatureMask("genres", rate=0.1)],
        key_features=["age"],
    )
    return aug.evaluation.measure_augmented(rows, policy, label="age")


@pytest.fixture(scope="module")
def report() -> Report:
    policy = {"format_version": 1, "ops": [{"op": "IdDropout", "feature": "<movie_id>"}]}
    return make_report(
        split="a shop, by time",
        protocol={"epochs": 6, "validate_every": 1, "optimizer": {"name": "Adam"}},
        versions={"tfrs-augment": "9.8.7"},
        policies={"policy": policy},
        arms={"policy": {"copies": 1}},
    )


@pytest.fixture(scope="module")
def options() -> dict:
    """A row and images before and after, strengths, and what a model logged."""
    policy = aug.AugmentationPolicy(
        [aug.ops.IdDropout("movie_id", rate=1.0)], key_features=["movie_id"]
    )
    photos = aug.AugmentationPolicy([aug.ops.RandomAffine("photo", rotation=40)])
    images = {"photo": tf.cast(tf.random.stateless_uniform([2, 8, 8, 3], [1, 2]) * 255, tf.float32)}
    return {
        "samples": {
            f"row of {NASTY}": policy.explain({"movie_id": NASTY}),
            "photos": aug.plot_augmentations(photos, images, draws=2),
        },
        "strengths": {"baseline": 0.0, "policy": 0.1, "shuffled": 1.0},
        "data": measured(),
        "histories": {"fit": {"accuracy": [0.1, 0.3], "val_accuracy": [0.1, float("nan")]}},
    }


@pytest.fixture(scope="module")
def path(report, options, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "report.html"
    report.to_html(path, **options)
    return path


@pytest.fixture(scope="module")
def tree(path) -> Tree:
    return Tree(path.read_text(encoding="utf-8"))


def test_landmarks_headings_and_a_skip_link(tree):
    for name in ("header", "nav", "main", "footer", "h1"):
        assert len(tree.all(name)) == 1
    ids = [element[1]["id"] for element in tree.elements if "id" in element[1]]
    assert len(ids) == len(set(ids))
    links = [element[1]["href"] for element in tree.all("a")]
    assert links[0] == "#main"
    assert {link.removeprefix("#") for link in links} <= set(ids)
    levels = [int(element[0][1]) for element in tree.elements if re.fullmatch("h[1-6]", element[0])]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))
    assert tree.all("html")[0][1]["lang"] == "en"


def test_tables_have_captions_and_scopes(tree):
    assert len(tree.all("caption")) == len(tree.all("table")) > 4
    assert {element[1].get("scope") for element in tree.all("th")} == {"col", "row", "rowgroup"}


def test_every_picture_has_words(tree):
    for element in tree.all("svg"):
        assert element[1].get("aria-label") or element[1].get("aria-hidden") == "true"
    for element in tree.all("g"):
        if "tabindex" in element[1]:
            assert element[1]["role"] == "img"
            assert element[1]["aria-label"]
    (image,) = tree.all("img")
    assert "photos: original; draw 0; draw 1" in image[1]["alt"]
    assert image[1]["src"].startswith("data:image/png;base64,")
    # What scrolls can be reached by the keyboard, and says what it is.
    for element in tree.elements:
        if element[1].get("class") == "scroll" or element[0] == "pre":
            assert element[1]["tabindex"] == "0"
            assert element[1]["aria-label"]


def test_all_figures_of_the_tables_are_there(report, tree):
    cells = tree.texts("td")
    for metric in METRICS:
        for line in report.table(metric).splitlines()[2:]:
            for cell in map(str.strip, line.strip("|").split("|")[1:]):
                assert not cell or any(cell in found for found in cells)
    assert sum("[" in cell for cell in cells) >= len(METRICS) * len(MAIN_SLICES) * len(ARMS)


def test_nothing_is_loaded_and_no_name_is_code(path, tree):
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", text)
    assert not tree.all("script")
    for element in tree.elements:
        for name, value in element[1].items():
            assert not name.startswith("on")
            if name in ("src", "href"):
                assert value.startswith(("#", "data:"))
    assert "<script" not in text
    assert "<movie_id>" not in text
    assert NASTY in tree.texts("strong")
    assert tree.texts("h1") == ["Did it help? a <small> shop"]
    assert "default-src 'none'" in tree.elements[5][1]["content"]


def test_the_same_report_gives_the_same_page(report, options, path, tmp_path):
    again = tmp_path / "again.html"
    report.to_html(again, **options)
    assert again.read_bytes() == path.read_bytes()


def test_page_markdown_and_json_say_the_same(report, tree, tmp_path):
    report.to_json(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert read["format_version"] == 1
    assert set(read["verdicts"]) == set(ARMS[1:])
    words = {arm: read["verdicts"][arm]["cold"]["recall@10"]["word"] for arm in ARMS[1:]}
    assert words == {"policy": "helps", "shuffled": "can't tell", NASTY: "can't tell"}
    assert read["verdicts"]["shuffled"]["warm"]["recall@10"]["word"] == "hurts"
    rows = [element[2] for element in tree.all("tr")]
    markdown = report.to_markdown(tmp_path / "report.md")
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == markdown
    assert "- **policy** helps all items, cold items; can't tell for" in markdown
    assert any(row.startswith("policy") and "▲ helps" in row for row in rows)
    assert "helps all items, cold items" in tree.texts("span")
    assert all(f"## {name}" in markdown for name in ("Recall@10", "Recall@50", "NDCG@10"))
    assert "<script" not in markdown.replace(report.table(), "").split("## Recall@10")[0]
    assert '"tfrs-augment": "9.8.7"' in markdown


def test_parts_that_are_not_there_are_left_out(tmp_path):
    bare = make_report(("baseline", "policy"), seeds=(0,), cold=False, trained=False)
    bare.to_html(tmp_path / "bare.html")
    tree = Tree((tmp_path / "bare.html").read_text(encoding="utf-8"))
    titles = ["Verdicts", "Differences to the baseline", "Figures", "How to reproduce it"]
    assert tree.texts("h2") == titles
    assert "cold items" not in " ".join(tree.texts("th"))
    assert "nan" not in " ".join(element[2] for element in tree.all("body"))
    assert "With one seed" in " ".join(tree.texts("p"))
    alone = make_report(("baseline",), seeds=(0,))
    alone.to_html(tmp_path / "alone.html")
    tree = Tree((tmp_path / "alone.html").read_text(encoding="utf-8"))
    assert "There is no arm beside the baseline." in tree.texts("p")
    assert alone.to_markdown().startswith("# a &lt;small> shop")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"metric": "recall@20"}, "`metric` must be one of"),
        ({"data": {"rows": 3}}, "`data` must be what measure_augmented returned"),
        ({"strengths": {"policy": 0.1, "polcy": 0.2}}, "Did you mean"),
        ({"strengths": {"policy": 0.1}}, "at least two"),
        ({"strengths": {"policy": 0.1, "shuffled": float("nan")}}, "at least two"),
        ({"samples": {"row": {"movie_id": 1}}}, "a dict for 'row'"),
        ({"samples": {"row": []}}, "a list for 'row'"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name_and_nothing_is_written(
    report, tmp_path, wrong, match
):
    with pytest.raises(InvalidArgumentError, match=match):
        report.to_html(tmp_path / "page.html", **wrong)
    assert not list(tmp_path.iterdir())


def test_no_tick_leaves_its_drawing_and_those_within_are_centred():
    scale = axes.Scale.over([0.0, 0.106], 12, axes.WIDTH - 12, margin=0.0)
    ticks = [element[1] for element in Tree(axes.ticks_below(scale, 0, 50)).all("text")]
    assert (ticks[0]["x"], ticks[0]["text-anchor"]) == ("0", "start")
    assert [(float(t["x"]), t["text-anchor"]) for t in ticks[1:]] == [
        (scale(t), "middle") for t in scale.ticks[1:]
    ]
    scale = axes.Scale.over([0.0, 10_000.0], 12, axes.WIDTH - 12, margin=0.0)
    last = Tree(axes.ticks_below(scale, 0, 50)).all("text")[-1][1]
    assert (last["x"], last["text-anchor"]) == (str(axes.WIDTH), "end")


@pytest.mark.parametrize(
    "drawn",
    [
        bars.bars([("item", 0.106, "0.106"), ("user", 0.0, "0.000")], label="drift", limit=0.1),
        intervals([Interval(n, 0.0, -0.01, 0.01) for n in "abc"], label="gain", signed=True),
    ],
)
def test_dashed_lines_go_beside_the_text_of_rows(drawn):
    tree = Tree(drawn)
    (line,) = (element[1] for element in tree.all("path") if element[1].get("class") == "zero")
    parts = [(float(a), float(b)) for a, b in re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", line["d"])]
    baselines = {float(element[1]["y"]) for element in tree.all("text")}
    assert len(parts) == len(baselines) - 1 > 1
    for top, bottom in parts:
        assert bottom - top > 10
        # Letters are 9 high above their line and 3 below it.
        assert all(bottom <= y - 9 or top >= y + 3 for y in baselines)


def at(*places: tuple[float, float]) -> Tree:
    """The drawing of points at places, within the corners 0 and 1."""

    def interval(number, value):
        return Interval(f"arm {number}", value, value - 0.01, value + 0.01)

    shown = [lines.Point(*(interval(i, v) for v in place)) for i, place in enumerate(places, 1)]
    return Tree(lines.points(shown, label="frontier", x_name="warm"))


def test_points_that_hide_one_another_share_a_mark():
    tree = at((0.0, 0.0), (0.5, 0.5), (1.0, 1.0), (0.505, 0.5), (0.2, 0.9))
    numbers = [element for element in tree.all("text") if element[1].get("class") == "number"]
    assert [element[2] for element in numbers] == ["1", "2, 4", "3", "5"]
    said = [element[1]["aria-label"] for element in tree.all("g") if "tabindex" in element[1]]
    assert len(said) == 4
    for name in ("2, arm 2: across +0.5000", "4, arm 4: across +0.5050"):
        assert name in said[1]
    # All intervals are below all marks.
    names = [element[0] for element in tree.elements if element[1].get("class") == "mark"]
    assert names == ["line"] * 10 + ["rect"] * 4


def test_marks_that_grow_take_in_whom_they_reach_and_stay_within():
    tree = at((0.0, 0.0), (0.5, 0.5), *[(1.0, 1.0)] * 40)
    numbers = [element[2] for element in tree.all("text") if element[1].get("class") == "number"]
    assert numbers == ["1", "2", f"{', '.join(map(str, range(3, 15)))}, …"]
    boxes = [element[1] for element in tree.all("rect") if element[1].get("class") == "mark"]
    assert all(0 <= float(b["x"]) <= axes.WIDTH - float(b["width"]) for b in boxes)
    # The last is clear of each of the two, not of the mark that they share.
    tree = at((0.0, 0.0), (1.0, 1.0), (0.5, 0.5), (0.5, 0.5), (0.545, 0.5))
    numbers = [element[2] for element in tree.all("text") if element[1].get("class") == "number"]
    assert numbers == ["1", "2", "3, 4, 5"]


def test_colours_can_be_read_in_both_schemes():
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    for scheme in (frame.LIGHT, frame.DARK):
        series = scheme["series"].split()
        assert len(set(series)) == frame.SERIES
        named = [scheme[name] for name in ("text", "muted", "link", "helps", "hurts")]
        for colour in named + series:
            for ground in (scheme["page"], scheme["card"]):
                low, high = sorted((luminance(colour), luminance(ground)))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (colour, ground)


def test_data_of_rows_are_shown_with_their_warnings(options, tree):
    titles = tree.texts("h2")
    for title in ("Is it too much?", "Columns before and after", "Distributions"):
        assert title in titles
    found = options["data"]
    assert {warning.name for warning in found.warnings} >= {"drift", "changed_cells"}
    shown = " ".join(tree.texts("li"))
    for warning in found.warnings:
        assert warning.message in shown
        assert f"{warning.number:.3g}, limit {warning.threshold:.3g}" in shown
    labels = [element[1].get("aria-label", "") for element in tree.all("svg")]
    assert f"{NASTY}: shares before and after" in labels
    assert "genres: shares before and after" in labels
    # Each bar is a row of a table too.
    cells = tree.texts("th")
    for one in found.distributions:
        assert set(one.labels) <= set(cells)


def test_all_metrics_are_there_with_their_direction(report, tree):
    document = report.to_dict()
    captions = " ".join(tree.texts("caption"))
    for metric in document["metrics"]:
        direction = "higher" if metric["higher_is_better"] else "lower"
        assert f"{metric['title']} by slice and arm, {direction} is better" in captions
    assert len(document["metrics"]) > len(METRICS)
    assert "Ranks of the test rows" in tree.texts("h3")


def test_a_document_of_before_there_were_more_metrics_gives_a_page(report):
    old = report.to_dict()
    for key in ("metrics", "slices", "notes"):
        del old[key]
    for part in ("figures", "verdicts"):
        for by_slice in old[part].values():
            for name, by_metric in by_slice.items():
                by_slice[name] = {metric: by_metric[metric] for metric in METRICS}
    tree = Tree(report_page(old))
    captions = tree.texts("caption")
    assert sum(" by slice and arm, " in caption for caption in captions) == len(METRICS)
    assert "cold items" in tree.texts("th")


def test_one_seed_says_why_nothing_can_be_told():
    one = make_report(("baseline", "policy"), seeds=(0,))
    tree = Tree(report_page(one.to_dict()))
    said = " ".join(tree.texts("p") + tree.texts("li"))
    assert "With one seed nothing can be told" in said
    assert "by how much trainings differ by chance is not known: everywhere" in said
    assert not any("helps" in cell or "hurts" in cell for cell in tree.texts("td"))


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (3, "must hold a comparison"),
        ({"format_version": 1}, "must hold a comparison"),
        ({"format_version": 9}, "must be of format_version 1"),
        ({"figures": {}}, "must hold a comparison"),
    ],
)
def test_what_is_no_comparison_is_refused(report, values, match):
    given = values if not isinstance(values, dict) else {**report.to_dict(), **values}
    if values == {"format_version": 1}:
        given = values
    with pytest.raises(DataError, match=match):
        report_page(given)


def test_tensorboard_gets_curves_and_figures(report, tmp_path):
    report.to_tensorboard(tmp_path)

    def scalars(folder):
        (file,) = folder.glob("events.out.tfevents.*")
        return {
            (value.tag, event.step): float(tf.make_ndarray(value.tensor))
            for event in tf.compat.v1.train.summary_iterator(str(file))
            for value in event.summary.value
        }

    found = scalars(tmp_path / "policy")
    figure = report.figure("policy", "cold")
    assert found["recall@10/cold", 0] == pytest.approx(figure.mean)
    assert found["difference in recall@10/cold", 0] == pytest.approx(figure.difference)
    assert len(found) == 2 * len(report.metrics) * len(SLICES)
    curves = scalars(tmp_path / "policy" / "seed 2")
    assert curves["loss", 1] == pytest.approx(3.2)
    assert curves["validation ndcg@50", 4] == pytest.approx(0.16)
    assert len(list(tmp_path.iterdir())) == len(ARMS)


def test_in_a_browser(path, tmp_path):
    browser = Chromium(tmp_path)
    assert browser.console(path) == []
    for dark, background in ((False, "rgb(255, 255, 255)"), (True, "rgb(13, 17, 23)")):
        for width in (390, 1200):
            found = browser.probe(path, width=width, dark=dark)
            assert found["errors"] == []
            assert found["width"] == width
            assert found["scroll"] <= width
            assert found["dark"] == dark
            assert found["background"] == background
            assert all(name.startswith("data:") for name in found["requests"])
            assert found["pictures"]
            assert all(found["pictures"])
            picture = path.parent / f"{'dark' if dark else 'light'}-{width}.png"
            browser.picture(path, picture, width=width, height=2400, dark=dark)
            assert picture.stat().st_size > 20_000
    browser.print(path, path.parent / "page.pdf")
    assert (path.parent / "page.pdf").read_bytes().startswith(b"%PDF")


def test_the_probe_of_the_browser_finds_what_it_looks_for(path, tmp_path):
    browser = Chromium(tmp_path)
    broken = tmp_path / "broken.html"
    text = path.read_text(encoding="utf-8")
    wide = '<div style="width:2000px">wide</div><img src="https://example.invalid/a.png" alt="">'
    broken.write_text(text.replace("</main>", f"{wide}</main>"), encoding="utf-8")
    found = browser.probe(broken, width=390)
    assert found["scroll"] >= 2000
    assert any("example.invalid" in error for error in found["errors"])
    assert any("Content Security Policy" in line for line in browser.console(broken))
