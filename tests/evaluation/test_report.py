"""Reports of all kinds of runs: metrics that are there, directions, verdicts, and what they are of."""

from __future__ import annotations

import dataclasses
import json
import math
import struct

import numpy as np
import pytest
from matplotlib.figure import Figure

from tfrs_augment.datasets import simulated_shop
from tfrs_augment.errors import DataError, InvalidArgumentError
from tfrs_augment.evaluation.measuring import list_metrics
from tfrs_augment.evaluation.measuring.registry import REGISTRY, UNITS
from tfrs_augment.evaluation.measuring.slices import Slices, measure_embeddings
from tfrs_augment.evaluation.reporting import plots
from tfrs_augment.evaluation.reporting.report import METRICS, Report, Run
from tfrs_augment.evaluation.splitting.splits import split
from tfrs_augment.evaluation.statistics.figures import slice_title
from tfrs_augment.evaluation.statistics.permutation import Permutation
from tfrs_augment.evaluation.statistics.verdicts import HELPS, HURTS, ONE_SEED, UNCLEAR

RANKING = ("rmse", "log_loss", "auc", "calibration")


def retrieval(seeds=4, **options) -> Report:
    """Models whose embeddings know the users' tastes: "better" more of it, "same" by chance alone."""
    data = simulated_shop("tiny")
    runs, slices = {}, {}
    for seed in range(seeds):
        one = split(data, by="time", cold_share=0.1, seed=seed)
        slices[seed] = Slices.of(one, **options)
        truth = data.truth.affinity(
            np.repeat(one.train.users["user_id"], len(one.train.items["item_id"])),
            np.tile(one.train.items["item_id"], len(one.train.users["user_id"])),
        ).reshape(len(one.train.users["user_id"]), -1)
        for arm, noise in (("baseline", 4.0), ("same", 4.0), ("better", 1.0)):
            rng = np.random.default_rng([seed, len(arm)])
            queries = truth + noise * rng.normal(size=truth.shape)
            runs[arm, seed] = Run(
                **measure_embeddings(one, queries, np.eye(truth.shape[1])),
                loss=[1.0],
                validation=[0.1],
                best_epoch=0,
                seconds=1.0,
            )
    return Report("shop", "baseline", tuple(range(seeds)), runs, slices, {})


def ranking(seeds=4) -> Report:
    """Predictions of clicks: "worse" has more noise, "same" by chance alone."""
    rng = np.random.default_rng(0)
    runs, slices = {}, {}
    users = np.repeat(np.arange(60), 10)
    for seed in range(seeds):
        chance = rng.random(600)
        masks = {
            "all": np.ones(600, bool),
            "warm": np.ones(600, bool),
            "warm_corpus": np.ones(600, bool),
        }
        slices[seed] = Slices(masks, users, labels=(rng.random(600) < chance).astype(float))
        for arm, noise in (("baseline", 0.05), ("same", 0.05), ("worse", 0.4)):
            found = np.clip(chance + noise * rng.normal(size=600), 0.01, 0.99)
            runs[arm, seed] = Run({}, [], [], 0, 0.0, predictions=found)
    return Report("clicks", "baseline", tuple(range(seeds)), runs, slices, {})


@pytest.fixture(scope="module")
def shop() -> Report:
    return retrieval(segments=["user_device"])


@pytest.fixture(scope="module")
def clicks() -> Report:
    return ranking()


def test_a_report_has_the_metrics_of_its_runs(shop, clicks):
    assert shop.metrics == tuple(name for name in REGISTRY if name not in RANKING)
    assert clicks.metrics == RANKING
    assert (shop.main_metric, clicks.main_metric) == ("recall@10", "rmse")
    assert all(metric.unit in UNITS for metric in REGISTRY.values())
    assert set(METRICS) <= set(REGISTRY)


def test_segments_are_slices_like_others(shop):
    names = [name for name in shop.slice_names if name.startswith("user_device=")]
    assert len(names) >= 2
    assert sum(shop.rows(name) for name in names) == pytest.approx(shop.rows("all"))
    assert shop.table("recall@10").count("user_device") >= 0
    for name in names:
        assert shop.figure("better", name).difference > 0
        assert f"{name}, {shop.rows(name):,.0f} rows" in shop.table("recall@10")


def test_the_published_metrics_are_means_over_seeds_of_means_over_rows(shop):
    for metric in ("recall@10", "mrr@10"):
        expected = np.mean(
            [
                shop.runs["better", s].values("tail", metric)[shop.slices[s].masks["tail"]].mean()
                for s in shop.seeds
            ]
        )
        assert shop.figure("better", "tail", metric).mean == pytest.approx(expected)


def test_lists_are_measured_on_all_and_on_slices_of_users_alone(shop):
    lists = {"novelty@10", "diversity@10", "coverage@10", "gini@10"}
    for metric in lists:
        of_users = [n for n in shop.slices_of(metric) if n.startswith("user_device=")]
        assert set(shop.slices_of(metric)) == {"all", "cold_users", *of_users} and of_users
        assert math.isnan(shop.figure("same", "tail", metric).mean)
        assert shop.verdicts["same"]["tail"][metric].reason == "no rows"
        assert "tail" not in shop.table(metric)
    each = []
    for seed in shop.seeds:
        slices = shop.slices[seed]
        shown = shop.runs["same", seed].lists[np.unique(slices.queries)]
        each.append(list_metrics.coverage(shown, len(slices.counts)))
    figure = shop.figure("same", "all", "coverage@10")
    assert figure.mean == pytest.approx(np.mean(each))
    # Student's t of 3 degrees of freedom.
    assert figure.high - figure.mean == pytest.approx(3.1824 * np.std(each, ddof=1) / 2, rel=1e-3)


def test_verdicts_turn_with_the_direction(shop, clicks):
    assert shop.verdicts["better"]["all"]["recall@10"].word == HELPS
    assert shop.verdicts["same"]["all"]["recall@10"].word == UNCLEAR
    for metric in ("rmse", "log_loss", "auc"):
        assert clicks.verdicts["worse"]["all"][metric].word == HURTS, metric
        assert clicks.verdicts["same"]["all"][metric].word == UNCLEAR
        sign = 1 if REGISTRY[metric].higher_is_better else -1
        assert sign * clicks.figure("worse", "all", metric).difference < 0
    assert "rmse, lower is better" in clicks.table("rmse")
    assert "lower is better" in clicks.to_markdown()


def test_rmse_is_a_root_of_each_seed(clicks):
    each = [
        np.sqrt(np.mean((clicks.runs["worse", s].predictions - clicks.slices[s].labels) ** 2))
        for s in clicks.seeds
    ]
    figure = clicks.figure("worse", "all", "rmse")
    assert figure.mean == pytest.approx(np.mean(each))
    assert figure.low < figure.mean < figure.high


def test_a_ranking_model_has_no_metric_among_warm_items_alone(clicks):
    assert "warm" in clicks.slices_of("rmse") and "warm_corpus" not in clicks.slices_of("rmse")


def test_predictions_beyond_0_and_1_are_no_chances():
    report = ranking(seeds=2)
    report.runs["same", 0].predictions[0] = 1.5
    again = Report("clicks", "baseline", (0, 1), report.runs, report.slices, {})
    assert again.metrics == ("rmse", "auc")


def test_runs_without_a_metric_in_common_are_refused(shop, clicks):
    bare = {seed: dataclasses.replace(s, labels=None) for seed, s in clicks.slices.items()}
    with pytest.raises(InvalidArgumentError, match="without a metric that all of them have"):
        Report("bare", "baseline", clicks.seeds, clicks.runs, bare, {})


def test_runs_of_other_rows_than_the_slices_are_refused(shop, clicks):
    with pytest.raises(InvalidArgumentError, match="`runs` must have the rows of `slices`"):
        Report("mixed", "baseline", clicks.seeds, clicks.runs, shop.slices, {})
    runs = {key: run for key, run in clicks.runs.items() if key != ("same", 1)}
    with pytest.raises(InvalidArgumentError, match="`runs` must hold every arm with every seed"):
        Report("less", "baseline", clicks.seeds, runs, clicks.slices, {})


def test_a_diverged_ranking_model_is_refused():
    with pytest.raises(DataError, match="`predictions` must be finite. Received: 1 of 2"):
        Run({}, [], [], 0, 0.0, predictions=np.array([0.5, np.nan]))


def test_one_seed_can_tell_nothing_and_says_why():
    report = retrieval(seeds=1)
    judged = report.verdicts["better"]["all"]
    for metric in report.metrics:
        assert judged[metric].word == UNCLEAR and judged[metric].reason == ONE_SEED
    assert math.isnan(report.figure("better", "all", "gini@10").low)
    assert "nan" not in report.table("gini@10")
    with pytest.raises(InvalidArgumentError, match="at least two seeds"):
        report.seeds_needed("better", effect=0.01)
    # The users alone can be told of, given these models.
    assert report.permutation("better", "all", "recall@10").p_value < 0.01


def test_an_arm_that_is_the_baseline_cant_be_told_from_it(shop):
    runs = {key: run for key, run in shop.runs.items() if key[0] == "baseline"}
    runs |= {("twin", seed): shop.runs["baseline", seed] for seed in shop.seeds}
    report = Report("twins", "baseline", shop.seeds, runs, shop.slices, {})
    words = {v.word for by in report.verdicts["twin"].values() for v in by.values()}
    assert words == {UNCLEAR}
    assert report.permutation("twin").p_value == 1.0


def test_permutations_agree_with_the_figures(shop):
    for metric in ("recall@10", "map@10", "novelty@10"):
        found = shop.permutation("better", "all", metric)
        assert isinstance(found, Permutation)
        assert found.difference == pytest.approx(shop.figure("better", "all", metric).difference)
        assert found.low <= found.difference <= found.high
    with pytest.raises(InvalidArgumentError, match="`metric` must be a mean over rows or queries"):
        shop.permutation("better", "all", "gini@10")


def test_seeds_needed_fall_with_the_effect(shop):
    many, few = (shop.seeds_needed("same", "all", effect=e) for e in (0.05, 0.15))
    assert many > few >= 2


def test_json_says_what_the_metrics_and_slices_are(shop, tmp_path):
    shop.to_json(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert [m["name"] for m in read["metrics"]] == list(shop.metrics)
    gini = next(m for m in read["metrics"] if m["name"] == "gini@10")
    assert (
        gini["higher_is_better"] is False and gini["unit"] == "corpus" and "all" in gini["slices"]
    )
    assert [s["name"] for s in read["slices"]] == list(shop.slice_names)
    assert read["slices"][0] == {"name": "all", "title": "all items", "rows": shop.rows("all")}
    assert set(read["rows"]) >= set(shop.slice_names)
    verdict = read["verdicts"]["same"]["all"]["recall@10"]
    assert set(verdict) == {"word", "p_value", "corrected", "reason"}


def test_markdown_and_plots_show_any_metric(shop, clicks, tmp_path):
    text = shop.to_markdown()
    assert "## Gini of exposure@10, lower is better" in text and "user_device" in text
    for number, (report, metric) in enumerate(
        ((shop, None), (shop, "gini@10"), (clicks, None), (retrieval(seeds=1), "coverage@10"))
    ):
        report.plot(tmp_path / f"{number}.png", metric=metric)
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
    shop.plot_frontier(tmp_path / "frontier.png", x="all", y="tail", metric="map@10")
    clicks.to_tensorboard(tmp_path / "logs")
    assert len(list((tmp_path / "logs").iterdir())) == 3


def segmented(report: Report, count: int) -> Report:
    """The same runs with segments, which hold all rows."""
    slices = {
        seed: dataclasses.replace(
            one, masks=one.masks | {f"city=c{k}": one.masks["all"] for k in range(count)}
        )
        for seed, one in report.slices.items()
    }
    return Report(report.name, report.baseline, report.seeds, report.runs, slices, {})


@pytest.mark.parametrize(
    ("segments", "pairs", "columns"), [(0, 1, 2), (4, 1, 6), (5, 2, 4), (10, 2, 6), (11, 3, 5)]
)
def test_plots_of_many_slices_take_more_rows(
    clicks, tmp_path, monkeypatch, segments, pairs, columns
):
    drawn = []
    monkeypatch.setattr(plots, "Canvas", lambda **kw: drawn.append(Figure(**kw)) or drawn[-1])
    report = segmented(clicks, segments)
    report.plot(tmp_path / "plot.png")
    size = struct.unpack(">II", (tmp_path / "plot.png").read_bytes()[16:24])
    assert size == pytest.approx((300 * columns + 72, 792 * pairs), abs=1)
    axes = np.reshape(drawn[0].axes, (pairs, 2, columns))
    titles = [axis.get_title() for axis in axes[:, 0].flat]
    shown = report.default_slices("rmse")
    assert [title.split("\n")[0] for title in titles] == [
        *map(slice_title, shown),
        *[""] * (pairs * columns - len(shown)),
    ]
    assert [axis.axison for axis in axes[:, 1].flat] == [bool(title) for title in titles]
    assert [axis.get_ylabel() for axis in axes[:, 1, 0]] == [
        "difference to baseline, paired"
    ] * pairs


def test_a_report_is_shown_in_a_few_lines(shop, clicks):
    assert repr(clicks).splitlines() == [
        "Report of 'clicks': RMSE (lower is better) of 2 arms against 'baseline', 4 seeds",
        "  'same': can't tell on any slice",
        "  'worse': hurts all items, warm items",
    ]
    assert str(shop).splitlines()[0] == (
        "Report of 'shop': Recall@10 (higher is better) of 2 arms against 'baseline', 4 seeds"
    )
    assert "  'better': helps all items" in str(shop)
    many = segmented(clicks, 20)
    assert repr(many).endswith(
        "hurts all items, warm items, city: c0, city: c1, city: c2, city: c3 and 16 more"
    )
    assert many.verdicts["worse"]["city=c19"]["rmse"].word == HURTS
    runs = {("baseline", s): clicks.runs["baseline", s] for s in clicks.seeds}
    runs |= {(f"arm\n{k}", s): clicks.runs["same", s] for k in range(11) for s in clicks.seeds}
    wide = repr(Report("clicks", "baseline", clicks.seeds, runs, clicks.slices, {})).splitlines()
    assert len(wide) == 10 and wide[-1] == "  and 3 arms more"
    runs = {key: run for key, run in runs.items() if key[0] == "baseline"}
    alone = repr(Report("clicks", "baseline", clicks.seeds, runs, clicks.slices, {}))
    assert alone.endswith("of 0 arms against 'baseline', 4 seeds")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: r.table("recal@10"), "`metric` must be one of the report's.*recall@10"),
        (lambda r: r.table(slices=["hot"]), "`slices` must be one of the report's"),
        (lambda r: r.permutation("baseline"), "`arm` must be one of the report's"),
        (lambda r: r.permutation("same", "hot"), "`slice_name` must be one of"),
        (
            lambda r: r.plot_frontier("x.png", x="all", y="tail", metric="gini@10"),
            "`y` must be one of",
        ),
        (lambda r: r.seeds_needed("same", effect=0.0), "`effect` must be finite and not 0"),
        (
            lambda r: Report("x", "nobody", r.seeds, r.runs, r.slices, {}),
            "`baseline` must be an arm of `runs`",
        ),
    ],
)
def test_arguments_are_checked(shop, call, message):
    with pytest.raises(InvalidArgumentError, match=message):
        call(shop)


def test_slices_have_titles():
    assert slice_title("cold_users") == "cold users"
    assert slice_title("user_device=phone") == "user_device: phone"
