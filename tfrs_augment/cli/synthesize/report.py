"""`tfrs-augment synthesize report`: what the rows of a fitted synthesizer are worth, and give away."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfrs_augment.cli import options
from tfrs_augment.cli.folder import ResultFolder

if TYPE_CHECKING:
    import numpy as np

    from tfrs_augment.datasets import Interactions
    from tfrs_augment.evaluation import Fidelity, InteractionFidelity, Privacy
    from tfrs_augment.synthesis import InteractionSynthesizer, Synthesizer

    Table = Mapping[str, np.ndarray]

_EXAMPLES = """\
  tfrs-augment synthesize report --synthesizer shop.npz --input 'train/*' --holdout 'test/*' \\
      --output report
  tfrs-augment synthesize report --synthesizer shop.npz --input 'train/*' --holdout 'test/*' \\
      --output report --target rating --positive 4 5

--input are the rows that the synthesizer was fitted on, --holdout others that it has not seen: without
them no figure says anything. Split the rows before `tfrs-augment synthesize fit`.
"""


def add_parser(commands) -> None:
    """Adds the command to the subparsers of `synthesize`."""
    parser = options.new_command(
        commands,
        "report",
        help="measure rows of a synthesizer against real ones",
        description=(
            "Samples rows and measures them against those that the synthesizer was fitted on and against\n"
            "a hold-out: fidelity, privacy and, of interactions, pairs (docs/synthesis_quality.md).\n"
            "Writes report.json, report.md and plots."
        ),
        examples=_EXAMPLES,
    )
    options.add_synthesizer(parser)
    options.add_rows(parser)
    parser.add_argument(
        "--holdout", required=True, nargs="+", metavar="GLOB", help="files of held-out real rows"
    )
    options.add_schema(parser)
    options.add_columns(parser)
    parser.add_argument("--output", required=True, metavar="FOLDER", help="where the report goes")
    parser.add_argument(
        "--num_rows", type=int, metavar="N", help="rows to sample (default as many as in --input)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the rows and of what is drawn")
    parser.add_argument(
        "--target", metavar="NAME", help="a column to predict by a model trained on the rows"
    )
    parser.add_argument(
        "--positive", nargs="+", metavar="VALUE", help="values of --target that are positive"
    )
    options.add_overwrite(parser, "a report in the folder")
    parser.set_defaults(main=main, takes_beam_options=False)


@dataclasses.dataclass(frozen=True)
class _Measured:
    """What was measured, and the rows that it was measured on."""

    synthesizer: Synthesizer
    fingerprint: str
    seed: int
    columns: Sequence[str]
    real: Table
    synthetic: Table
    fidelity: Fidelity
    privacy: Privacy
    pairs: InteractionFidelity | None
    interactions: Interactions | None


def main(arguments: argparse.Namespace, _: Sequence[str]) -> int:
    """Measures, writes the report, and prints its tables."""
    from tfrs_augment.beam.synthetic import fingerprint
    from tfrs_augment.synthesis import InteractionSynthesizer, Synthesizer

    synthesizer = Synthesizer.load(arguments.synthesizer)
    folder = ResultFolder(arguments.output, "report.json", arguments.overwrite)
    schema = options.load_schema(arguments)
    names = list(synthesizer.spec.names)
    real = options.read_rows(arguments, arguments.input, names, schema)
    with options.naming("holdout"):
        holdout = options.read_rows(arguments, arguments.holdout, names, schema)
    count = len(real[names[0]]) if arguments.num_rows is None else arguments.num_rows
    synthetic = synthesizer.sample(count, seed=arguments.seed, progress=not arguments.quiet)
    interactions, pairs = None, None
    if isinstance(synthesizer, InteractionSynthesizer):
        interactions, pairs = _measure_pairs(synthesizer, real, synthetic, holdout, arguments.seed)
    columns = arguments.columns or _columns(synthesizer)
    measured = _Measured(
        synthesizer,
        fingerprint(arguments.synthesizer),
        arguments.seed,
        columns,
        real,
        synthetic,
        *_measure_tables(arguments, columns, real, synthetic, holdout),
        pairs,
        interactions,
    )
    text = _text(measured, len(holdout[names[0]]))
    folder.write(lambda path: _write(path, measured, text))
    print(text)
    print(f"written: {arguments.output}")
    return 0


def _columns(synthesizer: Synthesizer) -> list[str]:
    """The columns to measure; those that are left out are said."""
    from tfrs_augment.evaluation import telling_columns

    columns, naming = telling_columns(synthesizer)
    if naming:
        options.say(
            f"not measured, for nearly every user or item has a value of its own: {', '.join(naming)}; "
            "--columns names what is"
        )
    return columns


def _measure_tables(arguments, columns, real, synthetic, holdout) -> tuple[Fidelity, Privacy]:
    from tfrs_augment.evaluation import measure_fidelity, measure_privacy

    fidelity = measure_fidelity(
        real,
        synthetic,
        holdout=holdout,
        columns=columns,
        target=arguments.target,
        positive=None if arguments.positive is None else list(map(_value, arguments.positive)),
        seed=arguments.seed,
    )
    privacy = measure_privacy(
        real, synthetic, holdout=holdout, columns=columns, seed=arguments.seed
    )
    return fidelity, privacy


def _measure_pairs(
    synthesizer: InteractionSynthesizer, real: Table, synthetic: Table, holdout: Table, seed: int
) -> tuple[Interactions, InteractionFidelity | None]:
    """The measures of pairs; held-out rows of users and items that training lacks say nothing of them."""
    import numpy as np

    from tfrs_augment.evaluation import measure_interactions

    ids = synthesizer.id_columns()
    known = np.logical_and(*(np.isin(holdout[name], real[name]) for name in ids))
    if not known.all():
        options.say(
            f"{int((~known).sum()):,} of {len(known):,} held-out rows have a user or an item that --input "
            "lacks, and do not count as pairs"
        )
    interactions = _interactions(real, ids)
    if not known.any():
        return interactions, None
    held = {name: holdout[name][known] for name in ids}
    pairs = measure_interactions(
        interactions,
        {name: _as_bytes(synthetic[name]) for name in ids},
        {name: _as_bytes(held[name]) for name in ids},
        seed=seed,
    )
    return interactions, pairs


def _interactions(table: Table, ids: tuple[str, str]) -> Interactions:
    """The pairs alone, with the users and the items that occur."""
    import numpy as np

    from tfrs_augment.datasets import Interactions

    rows = {name: _as_bytes(table[name]) for name in ids}
    user, item = ({name: np.unique(rows[name])} for name in ids)
    rows["time"] = np.zeros(len(rows[ids[0]]), np.int64)
    return Interactions(rows, item, user, user_id=ids[0], item_id=ids[1], timestamp="time")


def _as_bytes(ids: np.ndarray) -> np.ndarray:
    return ids if ids.dtype.kind == "S" else ids.astype("S")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text  # A word needs no quotes.


def _text(measured: _Measured, held: int) -> str:
    """The report as Markdown."""
    spec = measured.synthesizer.spec
    name = type(measured.synthesizer).__name__
    rows = {
        key: len(next(iter(table.values())))
        for key, table in vars(measured).items()
        if key in ("real", "synthetic")
    }
    lines = [
        f"# {name}, fingerprint {measured.fingerprint}",
        "",
        f"{rows['synthetic']:,} rows (seed {measured.seed}) against {rows['real']:,} that it was fitted on "
        f"and {held:,} held out.",
    ]
    if rows["real"] != spec.rows:
        lines.append(
            f"It was fitted on {spec.rows:,} rows and --input has {rows['real']:,}: are they the same?"
        )
    lines += ["", "## Fidelity", "", measured.fidelity.table(), ""]
    lines.append(
        "floor: columns sampled independently; ceiling: the hold-out; skill: 0 to 1 between them"
    )
    if measured.pairs is not None:
        lines += ["", "## Pairs of users and items", "", measured.pairs.table(), ""]
        lines.append(
            "a lift of 1 is that of random items; popularity_lift is what popularity alone gives"
        )
    lines += ["", "## Privacy", "", measured.privacy.table(), ""]
    lines.append(
        "attacks that were tried: figures near their ideal say that these fail, and no more"
    )
    return "\n".join(lines)


def _write(folder: str, measured: _Measured, text: str) -> None:
    """Writes the report into an empty folder."""
    from tfrs_augment.evaluation import plot_distances, plot_marginals, plot_pairs, plot_popularity

    def path(name: str) -> str:
        return os.path.join(folder, name)

    plots = {"marginals.png": "Columns", "pairs.png": "Pairs of columns"}
    plot_marginals(
        measured.real, measured.synthetic, path("marginals.png"), columns=measured.columns
    )
    plot_pairs(measured.fidelity, path("pairs.png"))
    if measured.interactions is not None:
        item = measured.interactions.item_id
        ids = {item: _as_bytes(measured.synthetic[item])}
        plot_popularity(measured.interactions, ids, path("popularity.png"))
        plots["popularity.png"] = "Popularity of items"
    plot_distances(measured.privacy, path("distances.png"))
    plots["distances.png"] = "Distances to the nearest real rows"
    document = {
        "synthesizer": type(measured.synthesizer).__name__,
        "fingerprint": measured.fingerprint,
        "config": measured.synthesizer.get_config(),
        "seed": measured.seed,
        "columns": list(measured.columns),
        "fidelity": measured.fidelity.to_dict(),
        "pairs": measured.pairs.to_dict() if measured.pairs else None,
        "privacy": measured.privacy.to_dict(),
    }
    with open(path("report.json"), "w", encoding="utf-8") as file:
        file.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    images = "".join(f"\n![{title}]({name})\n" for name, title in plots.items())
    with open(path("report.md"), "w", encoding="utf-8") as file:
        file.write(f"{text}\n{images}")
