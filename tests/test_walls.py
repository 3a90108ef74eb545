"""The walls between the rooms: who may import whom, read from the source without importing it.

An import counts wherever it stands, inside a function or under `TYPE_CHECKING` too.
"""

from __future__ import annotations

import ast
import graphlib
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = "tfrs_augment"

# A room may import those of its own layer and of the layers above it in this list.
LAYERS = [
    {"_lazy", "errors", "json_file", "rng", "features", "schema", "rank_statistics", "drift"},
    {"ops"},
    {"arrays", "explain"},  # what the policy does with plain values
    {"policy"},
    {
        "adaptive",
        "fitting",
        "text",
        "layers",
        "plots",
        "presets",
        "tasks",
        "towers",
        "datasets",
        "synthesis",
    },
    {"beam", "evaluation"},
    {"search"},
    {"components", "cli"},
]
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# These stand outside the layers, each with the only things that it may import.
ALONE = {
    # llvmlite is Numba's own compiler.
    "records": {"numpy", "numba", "llvmlite", *sys.stdlib_module_names},
    "_keras": set(sys.stdlib_module_names),
    "__init__": {f"{PACKAGE}._keras", f"{PACKAGE}._lazy", *sys.stdlib_module_names},
}
WITHOUT_KERAS = LAYERS[0] | LAYERS[1] | LAYERS[2] | LAYERS[3]
KERAS = {"keras", "tf_keras", "tensorflow.keras", "tensorflow_recommenders"}
# A package from outside -> the only rooms that may import it.
ONLY_IN = {
    "tfx": {"components"},
    "tfx_bsl": {"components"},
    "ml_metadata": {"components"},
    # Of `evaluation` one module alone, as a test below holds.
    "tensorflow_data_validation": {"components", "evaluation"},
    "numba": {"records", "beam"},
    "optuna": {"search"},
    "apache_beam": set(LEVEL) - WITHOUT_KERAS,
    **{name: set(LEVEL) - WITHOUT_KERAS for name in KERAS},
}


def imports_of(source: str, package: str) -> set[str]:
    """Returns the full dotted names that a module imports.

    Args:
      source: the module's text.
      package: the dotted name of the package it is in, to resolve relative imports.

    Returns:
      `a.b` for `import a.b`; `a.b.c` for `from a.b import c` and for `from .b import c` within `a`;
      "tensorflow.keras" for a use of `tf.keras`.
    """
    found, tensorflow_names = set(), set()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
            tensorflow_names.update(
                alias.asname or alias.name for alias in node.names if alias.name == "tensorflow"
            )
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = parents[: len(parents) - node.level + 1] if node.level else []
            module = ".".join([*base, node.module] if node.module else base)
            found.update(f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            name = node.args[0]
            if called in ("import_module", "__import__") and isinstance(name, ast.Constant):
                found.add(name.value)
    uses_keras = any(
        isinstance(node, ast.Attribute)
        and node.attr == "keras"
        and isinstance(node.value, ast.Name)
        and node.value.id in tensorflow_names
        for node in ast.walk(tree)
    )
    return found | {"tensorflow.keras"} if uses_keras else found


def _is_within(name: str, packages: set[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


def _refusal(room: str, name: str) -> str | None:
    """Returns why `room` may not import `name`, or None if it may."""
    if room in ALONE:
        allowed = ALONE[room] | {f"{PACKAGE}.{room}"}
        return None if _is_within(name, allowed) else "may import nothing of the kind"
    for package, rooms in ONLY_IN.items():
        if _is_within(name, {package}) and room not in rooms:
            return f"{package} is for {', '.join(sorted(rooms))} alone"
    if not _is_within(name, {PACKAGE}):
        return None
    other = name.split(".")[1] if "." in name else ""
    if other in (room, "__version__"):
        return None
    if other == "records":
        return None if room == "beam" else "records is for beam alone"
    if other not in LEVEL:
        return "name what is used: from tfrs_augment import ROOM, or __version__"
    return None if LEVEL[other] <= LEVEL[room] else f"{other} is built on {room}'s layer"


def violations(root: pathlib.Path) -> list[str]:
    """Returns one line a broken wall, for the project in the folder `root`."""
    broken: list[str] = []
    graph: dict[str, set[str]] = {}
    files = [(path, path.relative_to(root)) for path in sorted((root / PACKAGE).rglob("*.py"))]
    # components/ is installed as tfrs_augment.components.
    files += [
        (path, pathlib.Path(PACKAGE) / path.relative_to(root))
        for path in sorted((root / "components").rglob("*.py"))
    ]
    for path, place in files:
        room = place.parts[1].removesuffix(".py")
        if room not in LEVEL and room not in ALONE:
            broken.append(f"{path.relative_to(root)}: {room} has no place in the order of rooms")
            continue
        for name in sorted(imports_of(path.read_text("utf-8"), ".".join(place.parts[:-1]))):
            why = _refusal(room, name)
            if why is not None:
                broken.append(f"{path.relative_to(root)} imports {name}: {why}")
            elif _is_within(name, {PACKAGE}) and name.count(".") and name.split(".")[1] != room:
                graph.setdefault(room, set()).add(name.split(".")[1])
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        broken.append(f"rooms import each other in a circle: {' <- '.join(error.args[1])}")
    return broken


def test_walls_hold():
    assert violations(ROOT) == []


def test_data_validation_has_one_door():
    """What is measured where TFX is, is measured by one module, on use."""
    folder = ROOT / PACKAGE / "evaluation"
    door = folder / "augmented" / "tfdv_statistics.py"
    found = [
        path
        for path in folder.rglob("*.py")
        if any(
            _is_within(name, {"tensorflow_data_validation"})
            for name in imports_of(path.read_text("utf-8"), f"{PACKAGE}.evaluation")
        )
    ]
    assert found == [door]
    module = ast.parse(door.read_text("utf-8"))
    names = [
        alias.name
        for node in module.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    ]
    assert "tensorflow_data_validation" not in names


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("tfrs_augment/rng.py", "from tfrs_augment import ops", "ops is built on rng's layer"),
        ("tfrs_augment/ops/a.py", "from ..policy import Policy", "policy is built on ops's layer"),
        ("tfrs_augment/ops/a.py", "def f():\n    import tf_keras", "tf_keras is for"),
        ("tfrs_augment/ops/a.py", "from tensorflow import keras", "tensorflow.keras is for"),
        (
            "tfrs_augment/policy.py",
            "import tensorflow as tf\ntf.keras.Model",
            "tensorflow.keras is",
        ),
        ("tfrs_augment/policy.py", "import apache_beam as beam", "apache_beam is for"),
        ("tfrs_augment/features.py", "import tensorflow_recommenders", "tensorflow_recommenders"),
        ("tfrs_augment/layers/a.py", "import tfrs_augment.beam.job", "beam is built on layers's"),
        ("tfrs_augment/layers/a.py", "import numba", "numba is for beam, records alone"),
        ("tfrs_augment/layers/a.py", "import tfrs_augment as aug", "from tfrs_augment import ROOM"),
        ("tfrs_augment/evaluation/a.py", "from tfrs_augment.records import x", "for beam alone"),
        ("tfrs_augment/evaluation/a.py", "from tfrs_augment import cli", "cli is built on"),
        ("tfrs_augment/records/a.py", "import tensorflow", "may import nothing of the kind"),
        ("tfrs_augment/records/a.py", "from tfrs_augment import errors", "nothing of the kind"),
        ("tfrs_augment/beam/a.py", "def f():\n    from tfx import v1", "tfx is for components"),
        ("tfrs_augment/__init__.py", "from tfrs_augment import policy", "nothing of the kind"),
        ("tfrs_augment/new.py", "", "new has no place in the order of rooms"),
        (
            "tfrs_augment/ops/a.py",
            "import importlib\nimportlib.import_module('tfrs_augment.beam')",
            "beam is built on ops's layer",
        ),
    ],
)
def test_planted_violation_is_found(tmp_path, path, source, expected):
    planted = tmp_path / path
    planted.parent.mkdir(parents=True)
    planted.write_text(source, encoding="utf-8")
    (found,) = violations(tmp_path)
    assert expected in found


def test_circle_within_a_layer_is_found(tmp_path):
    (tmp_path / "tfrs_augment").mkdir()
    (tmp_path / "tfrs_augment/rng.py").write_text("from tfrs_augment import features")
    (tmp_path / "tfrs_augment/features.py").write_text("from .rng import KeyedRng")
    (found,) = violations(tmp_path)
    assert "in a circle" in found


def test_allowed_imports_pass(tmp_path):
    allowed = {
        "tfrs_augment/__init__.py": "from tfrs_augment import _keras",
        "tfrs_augment/rng.py": "import tensorflow as tf\nfrom tfrs_augment.errors import DataError",
        "tfrs_augment/ops/base.py": "from tfrs_augment import features, rng\nfrom . import other",
        "tfrs_augment/records/frames.py": "import numba\nfrom tfrs_augment.records import crc",
        "tfrs_augment/beam/job.py": "import apache_beam\nfrom tfrs_augment import __version__, records",
        "components/augmenter/executor.py": "from tfx import v1\nfrom tfrs_augment import beam",
    }
    for path, source in allowed.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(source, encoding="utf-8")
    assert violations(tmp_path) == []
