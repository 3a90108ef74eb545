"""Open Bandit Pipeline, run by an interpreter of its own: nothing of the project imports it.

    python3.9 -m venv peers
    peers/bin/pip install obp==0.4.1
    python benchmarks/off_policy.py --data path/to/shared/data --peer peers/bin/python

obp 0.4.1 needs torch. Its reader of the data needs a pandas of its time, so rows come as arrays: what is
compared are its estimators. The last line of the output is JSON.

    peers/bin/python _off_policy_peers.py FILE

FILE holds the arrays of one log: reward, action, position, pscore, action_dist and predictions (both
`[rows, actions, positions]`) and clip; or, of slates, slate_id, reward, position, places, and for each kind
of interaction pscore_KIND and target_KIND.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from obp import ope


def rows(log) -> dict[str, float]:
    """The values of a log of rows."""
    given = {name: log[name] for name in ("reward", "action", "position", "pscore", "action_dist")}
    model = {"estimated_rewards_by_reg_model": log["predictions"]}
    estimators = {
        "ips": (ope.InverseProbabilityWeighting(), {}),
        "snips": (ope.SelfNormalizedInverseProbabilityWeighting(), {}),
        "dm": (ope.DirectMethod(), model),
        "dr": (ope.DoublyRobust(), model),
        "sndr": (ope.SelfNormalizedDoublyRobust(), model),
        "switch_dr": (ope.SwitchDoublyRobust(tau=float(log["clip"])), model),
    }
    return {
        name: one.estimate_policy_value(**given, **more) for name, (one, more) in estimators.items()
    }


def slates(log) -> dict[str, float]:
    """The values of a log of slates."""
    given = {name: log[name] for name in ("slate_id", "reward", "position")}
    found = {}
    for name, estimator, suffix in (
        ("none", ope.SlateIndependentIPS(len_list=int(log["places"])), "_item_position"),
        ("cascade", ope.SlateRewardInteractionIPS(len_list=int(log["places"])), "_cascade"),
        ("all", ope.SlateStandardIPS(len_list=int(log["places"])), ""),
    ):
        chances = {
            f"pscore{suffix}": log[f"pscore_{name}"],
            f"evaluation_policy_pscore{suffix}": log[f"target_{name}"],
        }
        found[name] = estimator.estimate_policy_value(**given, **chances)
    return found


def main() -> None:
    with np.load(sys.argv[1]) as file:
        log = dict(file)
    found = slates(log) if "slate_id" in log else rows(log)
    print(json.dumps({name: float(value) for name, value in found.items()}))


if __name__ == "__main__":
    main()
