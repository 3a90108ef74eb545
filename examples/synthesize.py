"""Synthesized interactions, end to end: fit, sample under a condition, write TFRecords, look at them.

Without arguments this works on a small simulated shop, in about two minutes on two cores:

  python examples/synthesize.py --report synthesized

With MovieLens 100K from its raw files, and a GAN in place of the factorization:

  python examples/synthesize.py --data_dir path/to/ml-100k --gan --report synthesized

The report folder gets `synthesizer.npz`, `interactions-*.tfrecord` with the rows, `popularity.png` and
`training.png`. An interrupted fit goes on from the folder `checkpoints`.
"""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Sequence

import tfrs_augment as aug
from tfrs_augment.datasets import Interactions
from tfrs_augment.evaluation import (
    measure_fidelity,
    measure_interactions,
    plot_popularity,
    plot_training,
    split,
)

# Columns to judge as a table: not the ids, and no text that names the item.
SHOP_COLUMNS = ("user_age", "user_gender", "user_city", "item_category", "item_price", "rating")
MOVIE_COLUMNS = ("user_age", "user_gender", "user_occupation", "movie_year", "user_rating")
CONDITIONS = {"user_gender": "F"}


def load(data_dir: str | None) -> tuple[Interactions, Sequence[str]]:
    """Returns MovieLens from its raw files, or the simulated shop; and the columns to judge."""
    if data_dir is not None:
        return aug.datasets.movielens_100k(data_dir), MOVIE_COLUMNS
    return aug.datasets.simulated_shop("tiny"), SHOP_COLUMNS


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", help="folder with the raw files of MovieLens 100K")
    parser.add_argument("--gan", action="store_true", help="InteractionGAN, not a factorization")
    parser.add_argument("--rows", type=int, default=2_000, help="rows to sample (default: 2000)")
    parser.add_argument("--steps", type=int, default=500, help="most steps (default: 500)")
    parser.add_argument("--report", default="synthesized", help="folder to write to")
    options = parser.parse_args(arguments)
    folder = pathlib.Path(options.report)
    folder.mkdir(parents=True, exist_ok=True)

    data, columns = load(options.data_dir)
    parts = split(data, cold_share=0.0)
    kind = aug.synthesis.InteractionGAN if options.gan else aug.synthesis.FactorizationSampler
    synthesizer = kind(steps=options.steps, checkpoint_dir=str(folder / "checkpoints"))
    synthesizer.fit(parts.train, progress=True)
    synthesizer.save(folder / "synthesizer.npz")
    history = synthesizer.loss_history
    curves = {name: values for name, values in history.items() if not name.endswith("step")}
    plot_training({kind.__name__: curves}, folder / "training.png")

    rows = synthesizer.sample(options.rows, seed=1)
    print(measure_fidelity(parts.train, rows, holdout=parts.test, columns=columns).table())
    print(measure_interactions(parts.train, rows, parts.test).table())
    plot_popularity(parts.train, rows, folder / "popularity.png")

    some = synthesizer.sample(options.rows // 4, conditions=CONDITIONS, seed=2)
    joined = aug.synthesis.join(some, data)
    paths = joined.write_tfrecords(str(folder), overwrite=True)
    print(f"{len(joined)} rows with {CONDITIONS}: {', '.join(paths)}")


if __name__ == "__main__":
    main()
