"""Two tables without chance in them, and what SDMetrics says of them.

Run by an interpreter that has SDMetrics, this writes the scores anew:

    python tests/evaluation/sdmetrics_reference.py > tests/golden/sdmetrics.json

SDMetrics is no requirement of the tests: it needs `copulas`, which is Business Source licensed.
"""

from __future__ import annotations

import itertools
import json

import numpy as np

NUMBERS, CATEGORIES = ("age", "spent", "visits"), ("city", "tier")


def tables() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two tables of the same columns: numbers with some missing, and categories, one of them unseen."""
    made = []
    for rows, step, cities in ((240, 37, b"abcde"), (180, 31, b"abcfd")):
        i = np.arange(rows)
        age = 18.0 + (i * step) % 45
        spent = 3.0 * age + (i * 53) % 60
        spent[i % 29 == 3] = np.nan
        city = np.array([bytes([cities[k]]) for k in (i * i + i // 7) % 5], "S")
        tier = np.where(age > 40, b"gold", np.where(i % 3 == 0, b"silver", b"new"))
        visits = 1.0 + (i * i * 7) % 83
        columns = {"age": age, "spent": spent, "visits": visits}
        made.append(
            {k: v.astype(np.float32) for k, v in columns.items()} | {"city": city, "tier": tier}
        )
    return made[0], made[1]


def scores() -> dict[str, float]:
    """SDMetrics' score of each column, and of each pair: "first, second"."""
    import pandas as pd
    from scipy.stats.contingency import association
    from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity
    from sdmetrics.single_column import KSComplement, TVComplement
    from sdmetrics.utils import discretize_column

    real, other = (
        pd.DataFrame(
            {k: v.astype(str) if v.dtype.kind == "S" else v.astype(float) for k, v in t.items()}
        )
        for t in tables()
    )
    found = {}
    for name in real:
        metric = KSComplement if name in NUMBERS else TVComplement
        found[name] = metric.compute(real[name], other[name])
    for pair in itertools.combinations(real, 2):
        numeric = [name for name in pair if name in NUMBERS]
        parts = real[list(pair)].copy(), other[list(pair)].copy()
        if len(numeric) == 2:
            found[", ".join(pair)] = CorrelationSimilarity.compute(*parts)
            continue
        options = {"continuous_column_names": numeric} if numeric else {}
        found[", ".join(pair)] = ContingencySimilarity.compute(*parts, **options)
        coded = [discretize_column(real[n], real[n])[0] if n in numeric else real[n] for n in pair]
        found["V of " + ", ".join(pair)] = association(pd.crosstab(*coded), method="cramer")
    return {name: float(value) for name, value in found.items()}


if __name__ == "__main__":
    print(json.dumps(scores(), indent=1))
