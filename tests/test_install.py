"""What `import tfrs_augment` costs and offers, and that it leaves nobody with the wrong Keras."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile

import pytest

import tfrs_augment as aug

ROOT = pathlib.Path(__file__).resolve().parents[1]


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs `code` in a new process in which nothing is imported and nothing is said of Keras."""
    variables = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    variables |= {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", **environment}
    return subprocess.run(
        [sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False
    )


def test_import_is_cheap_and_lazy():
    code = (
        "import sys, time; start = time.perf_counter(); import tfrs_augment; "
        "heavy = {'tensorflow', 'tf_keras', 'numpy', 'numba', 'apache_beam', 'matplotlib'}; "
        "print(time.perf_counter() - start, *heavy & set(sys.modules))"
    )
    seconds = []
    for _ in range(3):
        spent, *heavy = run_python(code).stdout.split()
        assert heavy == []
        seconds.append(float(spent))
    assert min(seconds) < 0.3


@pytest.mark.parametrize("name", aug.__all__)
def test_public_name_loads(name):
    assert name in dir(aug)
    assert getattr(aug, name) is getattr(aug, name)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'augmentation_policy'"):
        aug.augmentation_policy  # noqa: B018


SHOW_KERAS = (
    "import tensorflow as tf, tensorflow_recommenders as tfrs\n"
    "from tensorflow.keras import layers\n"
    "print(tfrs.Model.__mro__[1].__module__, tf.keras.Model.__module__, layers.Dense.__module__,\n"
    "      tf.keras.layers.Dense.__module__, tf.losses.MeanSquaredError.__module__,\n"
    "      tf.optimizers.Adam.__module__)"
)


@pytest.mark.parametrize(
    "first",
    [
        "",
        "import tensorflow as tf",
        # TensorFlow, which Keras 3 imports, is not bound to it by that.
        "import keras",
    ],
)
def test_keras_2_is_used_throughout(first):
    done = run_python(f"{first}\nimport tfrs_augment\n{SHOW_KERAS}")
    assert done.returncode == 0, done.stderr
    roots = [module.split(".")[0] for module in done.stdout.split()]
    assert roots == ["tf_keras"] * 6


@pytest.mark.parametrize(("value", "after"), [("", "1"), ("1", "1"), ("True", "True")])
def test_variable_that_means_keras_2_is_kept(value, after):
    code = "import os, tfrs_augment; print(os.environ['TF_USE_LEGACY_KERAS'])"
    assert run_python(code, TF_USE_LEGACY_KERAS=value).stdout.strip() == after


@pytest.mark.parametrize(
    "use",
    [
        "import tensorflow as tf; tf.keras.layers",
        "import tensorflow as tf; tf.losses.MeanSquaredError",
        "from tensorflow.keras import layers",
    ],
)
def test_keras_3_in_use_is_refused_by_name(use):
    done = run_python(f"{use}\nimport tfrs_augment")
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("ImportError: tfrs_augment needs Keras 2, but tf.keras is Keras 3")
    assert "Set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported" in error


@pytest.mark.parametrize("value", ["0", "false", "yes"])
def test_variable_that_means_keras_3_is_refused_by_name(value):
    done = run_python("import tfrs_augment", TF_USE_LEGACY_KERAS=value)
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert f"Received: TF_USE_LEGACY_KERAS='{value}'" in error
    assert "Set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported" in error


def test_absent_tf_keras_is_named():
    done = run_python("import sys; sys.modules['tf_keras'] = None\nimport tfrs_augment")
    assert done.returncode == 1
    assert "Run: pip install tf-keras" in done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> pathlib.Path:
    """A folder with the wheel, the sdist and the editable wheel of a copy of the project."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    for name in ("tfrs_augment", "components"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    code = (
        "import setuptools.build_meta as b\n"
        "b.build_wheel('../wheel'); b.build_sdist('../sdist'); b.build_editable('../editable')"
    )
    for name in ("wheel", "sdist", "editable"):
        (folder / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def python_files(folder: pathlib.Path) -> set[str]:
    """The Python files of the package, as they are named where it is installed."""
    files = {p.relative_to(folder).as_posix() for p in (folder / "tfrs_augment").rglob("*.py")}
    parts = {p.relative_to(folder).as_posix() for p in (folder / "components").rglob("*.py")}
    return files | {f"tfrs_augment/{name}" for name in parts}


def test_wheel_holds_every_module(built):
    (wheel,) = (built / "wheel").glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    assert names == python_files(built / "source")
    assert "tfrs_augment/components/augmenter/executor.py" in names


def test_sdist_builds_the_same_wheel(built):
    (sdist,) = (built / "sdist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(built / "unpacked", filter="data")
    (unpacked,) = (built / "unpacked").iterdir()
    assert python_files(unpacked) == python_files(built / "source")


def test_editable_install_finds_the_components(built):
    (wheel,) = (built / "editable").glob("*.whl")
    site = built / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = (
        # Behind it the packages of this environment, without its own editable install.
        f"import site, sys; site.addsitedir({str(site)!r})\n"
        f"sys.path.append({sysconfig.get_path('purelib')!r})\n"
        "import tfrs_augment.components as c, tfrs_augment as a\n"
        "print(c.__file__, a.__file__, *c.__all__)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=built, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    file, package, *names = done.stdout.split()
    assert pathlib.Path(file) == built / "source" / "components" / "__init__.py"
    assert pathlib.Path(package) == built / "source" / "tfrs_augment" / "__init__.py"
    assert "Augmenter" in names
