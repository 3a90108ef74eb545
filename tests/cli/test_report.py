"""`tfrs-augment report`: pages drawn again from JSON, and augmented rows measured."""

from __future__ import annotations

import json
import pathlib

import pytest

import tfrs_augment as aug
from tests.evaluation.test_page import make_report
from tests.shell import shell
from tfrs_augment import cli

POLICY = aug.AugmentationPolicy(
    [
        aug.ops.IdDropout("item_id", rate=0.1),
        aug.ops.IdDropout("user_id", rate=0.1),
        aug.ops.CategorySwap("item_brand", rate=0.1),
    ],
    key_features=("user_id", "item_id", "timestamp"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """A shop's rows, two outputs of the job, and the JSON of a comparison."""
    folder = tmp_path_factory.mktemp("report")
    shop = aug.datasets.simulated_shop("tiny", seed=0)
    shop.write_tfrecords(folder / "in", shards=2)
    absurd = aug.AugmentationPolicy(
        [aug.ops.FeatureMask(("item_id", "item_brand", "item_title_words"), rate=0.95)],
        key_features=POLICY.key_features,
    )
    for name, policy, copies in (("mild", POLICY, 2), ("absurd", absurd, 5)):
        policy.save(folder / f"{name}.json")
        aug.beam.run(
            policy,
            input=str(folder / "in/*"),
            output=str(folder / name),
            copies=copies,
            progress=False,
        )
    make_report(split="a shop, by time", protocol={"validate_every": 1}).to_json(
        folder / "report.json"
    )
    return folder


@pytest.fixture(autouse=True)
def _in_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_a_page_is_drawn_again_from_its_json(capsys):
    code, out, _ = shell(
        "report --comparison report.json --metric ndcg@10 --output a.html --markdown a.md", capsys
    )
    assert (code, out) == (0, "written: a.html\nwritten: a.md\n")
    text = pathlib.Path("a.html").read_text(encoding="utf-8")
    assert "Differences to the baseline" in text
    assert "NDCG@10 (higher is better) of 3 arms" in text
    assert "NDCG@10 (higher is better) against baseline" in pathlib.Path("a.md").read_text("utf-8")
    code, _, err = shell("report --comparison report.json --output a.html", capsys)
    assert code == 1
    assert "'a.html' exists. Pass --overwrite" in err
    assert pathlib.Path("a.html").read_text(encoding="utf-8") == text
    assert shell("report --comparison report.json --output a.html --overwrite", capsys)[0] == 0
    assert pathlib.Path("a.html").read_text(encoding="utf-8") != text
    assert not list(pathlib.Path().glob("*.staged"))


def test_a_document_of_before_there_were_more_metrics_is_read(capsys):
    old = json.loads(pathlib.Path("report.json").read_text())
    for key in ("metrics", "slices", "notes"):
        del old[key]
    kept = ("recall@10", "recall@50", "ndcg@10")
    for part in ("figures", "verdicts"):
        for by_slice in old[part].values():
            for name, by_metric in by_slice.items():
                by_slice[name] = {metric: by_metric[metric] for metric in kept}
                for found in by_slice[name].values():
                    found.pop("reason", None)
    pathlib.Path("old.json").write_text(json.dumps(old))
    assert shell("report --comparison old.json --output old.html --markdown old.md", capsys)[0] == 0
    text = pathlib.Path("old.html").read_text(encoding="utf-8")
    assert "cold items" in text
    assert "Recall@50" in text
    assert pathlib.Path("old.md").read_text("utf-8").count("\n## ") == 4


def test_the_rows_of_a_job_are_measured_and_kept(capsys):
    command = "report --source 'in/*' --augmented 'mild/*' --label rating --positive 4 5"
    code, out, _ = shell(f"{command} --output data", capsys)
    assert code == 0
    assert "no warning: every number that was measured" in out
    assert "originals among the augmented rows are left out" in out
    assert sorted(path.name for path in pathlib.Path("data").iterdir()) == [
        "data.html",
        "data.json",
        "data.png",
    ]
    read = json.loads(pathlib.Path("data/data.json").read_text(), parse_constant=pytest.fail)
    assert read["changes"]["known"] == 1.0
    assert set(read["changes"]["by_op"]) == {op.id for op in POLICY.ops}
    assert read["settings"]["fingerprint"] is not None
    assert read["columns"]["item_title_words"]["kind"] == "list"
    code, _, err = shell(f"{command} --output data", capsys)
    assert code == 1
    assert "Pass --overwrite" in err
    command = "report --comparison report.json --data data/data.json --output both.html"
    assert shell(command, capsys)[0] == 0
    assert "Is it too much?" in pathlib.Path("both.html").read_text(encoding="utf-8")


def test_absurd_strength_is_warned_of_on_stdout(capsys):
    code, out, _ = shell("report --source 'in/*' --augmented absurd --output data2", capsys)
    assert code == 0
    found = {line.split(",")[0] for line in out.splitlines() if line.startswith("warning: ")}
    assert found >= {"warning: augmented_share", "warning: drift", "warning: popularity"}
    command = "report --source 'in/*' --augmented absurd --output data2 --overwrite"
    limits = (
        "--limit drift=1 --limit popularity=none --limit one_op=none --limit augmented_share=0.9"
    )
    _, out, _ = shell(f"{command} {limits} --limit distinct=none", capsys)
    assert "warning: drift" not in out
    assert "warning: popularity" not in out


def test_the_output_of_a_job_is_its_own_source(capsys):
    code, _, _ = shell("report --source mild --augmented mild --output data3", capsys)
    assert code == 0
    read = json.loads(pathlib.Path("data3/data.json").read_text())
    assert read["rows"]["augmented"] == 2 * read["rows"]["source"]
    assert read["changes"]["known"] == 1.0


@pytest.mark.parametrize(
    ("command", "code", "match"),
    [
        ("report --comparison none.json --output x.html", 1, "'none.json' cannot be read"),
        ("report --comparison mild.json --output x.html", 1, "must hold a comparison"),
        ("report --comparison report.json --output x.html --metric recall@1", 2, "Did you mean"),
        ("report --comparison report.json", 2, "`--output` must name"),
        ("report --comparison report.json --output x.html --data report.json", 1, "of augmented"),
        ("report --comparison report.json --output x.html --label a", 2, "goes with --source"),
        ("report --source 'in/*' --output x", 2, "`--augmented` must name"),
        (
            "report --source 'in/*' --augmented 'no/*' --output x",
            1,
            "`--augmented` matches no file",
        ),
        ("report --source 'no/*' --augmented mild --output x", 1, "`--source` matches no file"),
        ("report --source 'in/*' --augmented mild --output x --metric a", 2, "with --comparison"),
        ("report --source 'in/*' --augmented mild --output x --positive 4", 2, "goes with --label"),
        ("report --source 'in/*' --augmented mild --output x --fitted f", 2, "with a --policy"),
        ("report --source 'in/*' --augmented mild --output x --limit drft=1", 2, "Did you mean"),
        ("report --source 'in/*' --augmented mild --output x --limit drift=a", 2, "NAME=X"),
        ("report --source 'in/*' --augmented mild --output x --limit drift=2", 2, "in [0, 1]"),
        ("report --source 'in/*' --augmented mild --output x --columns no", 2, "`columns` name"),
        ("report --source 'in/*' --augmented mild --output x --max_rows 5", 2, "`max_rows`"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(command, code, match, capsys):
    got, out, err = shell(command, capsys)
    assert got == code
    assert match in err
    assert err.count("\n") == 1
    assert out == ""
    assert not pathlib.Path("x.html").exists()
    assert not pathlib.Path("x/data.json").exists()


def test_one_of_the_two_must_be_asked_for(capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["report", "--output", "x"])
    assert "one of the arguments --comparison --source is required" in capsys.readouterr().err
