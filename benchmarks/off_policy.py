"""Whether the online tests and off-policy estimates are right: against a peer, and where the truth is known.

    python benchmarks/off_policy.py --data path/to/shared/data [--peer PYTHON]
    python benchmarks/off_policy.py --quick           # simulations alone, fewer of them

`--data` holds Open Bandit's files, and `--peer` names an interpreter with obp 0.4.1: see
_off_policy_peers.py. Figures:

- `obp_gap`: the largest difference of an estimator's value to obp's on the four files, as a share of the
  value; each file is asked what the other policy, that logged the other file, would have earned;
- `obp_slate_gap`: the same on simulated slates of three, for each kind of interaction;
- `coverage_normal`, `coverage_bootstrap`: of the intervals of dr on 500 simulated logs of 500 rows;
  0.95 is asked for;
- `sequential_error`: the share of 2,000 simulated tests without an effect that are called when looked at
  after each of 5,000 units, at alpha 0.05; `peeked_error`: the same of the test for one look.
"""

from __future__ import annotations

import argparse
import csv
import json
import pathlib
import subprocess
import tempfile

import _common
import numpy as np

from tfrs_augment.evaluation.online.off_policy_evaluation import off_policy
from tfrs_augment.evaluation.online.off_policy_rewards import fit_rewards
from tfrs_augment.evaluation.online.sequential import FIRST_LOOK, look_at_each

ACTIONS = {"men": 34, "women": 46}
OTHER = {"random": "bts", "bts": "random"}
CLIP = 3.0
PEER = pathlib.Path(__file__).parent / "_off_policy_peers.py"


def read(folder: pathlib.Path, policy: str, campaign: str) -> dict[str, np.ndarray]:
    """A file of Open Bandit; positions from 0."""
    path = folder / "open-bandit" / policy / campaign / f"{campaign}.csv"
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = {"item_id": "item", "position": "position", "click": "reward"}
    log = {new: np.array([int(row[old]) for row in rows]) for old, new in names.items()}
    log["propensity"] = np.array([float(row["propensity_score"]) for row in rows])
    return log | {"position": log["position"] - 1}


def ask(peer: str, **arrays) -> dict[str, float]:
    """The peer's values of a log."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "log.npz"
        np.savez(path, **arrays)
        done = subprocess.run(
            [peer, str(PEER), str(path)], capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"The peer failed.\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def against_files(folder: pathlib.Path, peer: str) -> list[list]:
    """A row an estimator and file: its value here, and the peer's."""
    table = []
    for campaign, count in ACTIONS.items():
        logs = {policy: read(folder, policy, campaign) for policy in OTHER}
        for policy, log in logs.items():
            other = logs[OTHER[policy]]
            shares = np.full((3, count), 0.5)  # Smoothed: each action has some chance.
            np.add.at(shares, (other["position"], other["item"]), 1.0)
            shares /= shares.sum(axis=1, keepdims=True)
            rows = len(log["reward"])
            actions = {"action": "item", "actions": range(count)}
            q = fit_rewards(log, **actions, position="position")
            found = off_policy(
                log, target=shares[log["position"]], predictions=q, clip=CLIP, **actions
            )
            theirs = ask(
                peer,
                reward=log["reward"],
                action=log["item"],
                position=log["position"],
                pscore=log["propensity"],
                action_dist=np.repeat(shares.T[None], rows, axis=0),
                predictions=np.repeat(q[:, :, None], 3, axis=2),
                clip=CLIP,
            )
            table += [
                [f"{policy}, {campaign}: {name}", found.estimate(name).value, value]
                for name, value in theirs.items()
            ]
    return table


def against_slates(peer: str, slates: int = 2000) -> list[list]:
    """A row a kind of interaction, on simulated slates of three."""
    rng = np.random.default_rng(0)
    chances, target = rng.dirichlet(np.ones(5), 3), rng.dirichlet(np.ones(5), 3)
    place = np.tile(np.arange(3), slates)
    shown = np.stack([rng.choice(5, slates, p=chances[k]) for k in range(3)], axis=1)
    item, slate = shown.ravel(), np.repeat(np.arange(slates), 3)
    log = {"slate": slate, "position": place, "reward": rng.random(3 * slates)}
    log["propensity"], aimed = chances[place, item], target[place, item]
    given = {"slate_id": slate, "reward": log["reward"], "position": place, "places": 3}
    for name, chance in (("pscore", log["propensity"]), ("target", aimed)):
        by_slate = chance.reshape(-1, 3)
        given[f"{name}_none"] = chance
        given[f"{name}_cascade"] = by_slate.cumprod(axis=1).ravel()
        given[f"{name}_all"] = np.repeat(by_slate.prod(axis=1), 3)
    options = {"target": aimed, "slate": "slate", "position": "position"}
    return [
        [
            f"slates: {kind}",
            off_policy(log, interaction=kind, **options).estimate("ips").value,
            value,
        ]
        for kind, value in ask(peer, **given).items()
    ]


def coverage(logs: int, rows: int = 500) -> dict[str, float]:
    """How often the intervals of dr hold the true value of a simulated bandit."""
    rng = np.random.default_rng(0)
    chances, target = 0.8 * rng.dirichlet(np.ones(4), 3) + 0.05, rng.dirichlet(np.ones(4), 3)
    mean = rng.uniform(0.05, 0.3, (3, 4))
    truth, inside = (target * mean).sum(axis=1).mean(), {"normal": 0, "bootstrap": 0}
    for seed in range(logs):
        rng = np.random.default_rng([1, seed])
        kind = rng.integers(3, size=rows)
        shown = (rng.random((rows, 1)) > chances[kind].cumsum(axis=1)).sum(axis=1)
        log = {"item": shown, "propensity": chances[kind, shown], "kind": kind}
        log["reward"] = rng.random(rows) < mean[kind, shown]
        actions = {"action": "item", "actions": range(4)}
        q = fit_rewards(log, **actions, position="kind", seed=seed)
        one = off_policy(log, target=target[kind], predictions=q, **actions).estimate("dr")
        for name in inside:
            low, high = getattr(one, name)
            inside[name] += low <= truth <= high
    return {f"coverage_{name}": count / logs for name, count in inside.items()}


def peeking(tests: int, units: int = 5000, block: int = 200) -> dict[str, float]:
    """How often a test without an effect is called at some look."""
    called = {"sequential_error": 0, "peeked_error": 0}
    for start in range(0, tests, block):
        rng = np.random.default_rng([2, start])
        treated = rng.random((block, units)) < 0.5
        values = rng.exponential(1.0, treated.shape)
        looks = look_at_each(values, treated, planned_units=units)
        called["sequential_error"] += int((looks.p_value[:, -1] < 0.05).sum())
        late = slice(2 * FIRST_LOOK, None)
        z = np.abs(looks.difference[:, late] / looks.standard_error[:, late])
        called["peeked_error"] += int((z > 1.959964).any(axis=1).sum())
    return {name: count / tests for name, count in called.items()}


def _add(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=pathlib.Path, help="folder that holds open-bandit; needs --peer"
    )
    parser.add_argument("--peer", help="an interpreter with obp 0.4.1")


def main() -> None:
    arguments = _common.parse(__doc__.splitlines()[0], add=_add)
    figures = coverage(50 if arguments.quick else 500) | peeking(200 if arguments.quick else 2000)
    table = []
    if arguments.peer:
        gap = lambda rows: max(abs(own / value - 1.0) for _, own, value in rows)  # noqa: E731
        compared = against_slates(arguments.peer)
        figures["obp_slate_gap"] = gap(compared)
        if arguments.data:
            files = against_files(arguments.data, arguments.peer)
            figures["obp_gap"] = gap(files)
            compared = files + compared
        table = [[name, f"{own:.9f}", f"{value:.9f}"] for name, own, value in compared]
    _common.finish(
        "off_policy",
        figures,
        header=("log and estimator", "value", "obp 0.4.1"),
        table=table,
        notes="Values of Open Bandit's 10,000 rows a file are clicks a row; of slates, rewards a slate. "
        "A gap is the largest difference to obp as a share of the value.",
        write=not arguments.quick,
    )


if __name__ == "__main__":
    main()
