"""What the components import, and what they say where TFX is absent."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

import pytest

from tfrs_augment.components import lanes

COMPONENTS = pathlib.Path(__file__).resolve().parents[2] / "components"
ROOT = COMPONENTS.parent


@pytest.mark.parametrize("name", ["Augmenter", "SynthesizerTrainer", "AugmentationValidator"])
def test_absent_tfx_is_named_with_its_lanes(name):
    code = (
        "import sys; sys.modules['tfx'] = None\n"
        "import tfrs_augment.components as components\n"
        f"components.{name}"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    message = done.stderr.strip().splitlines()[-1]
    assert message.startswith("ImportError: tfrs_augment.components needs TFX")
    for said in ("pip install 'tfrs-augment[tfx]'", "glibc 2.39", "TFX 1.16 goes with Python 3.10"):
        assert said in message
    assert f"This is Python {sys.version_info.major}.{sys.version_info.minor} with" in message


def test_other_import_errors_pass_as_they_are():
    assert not lanes.is_tfx(ImportError("no", name="numpy"))
    assert lanes.is_tfx(ImportError("no", name="tfx_bsl.public"))


def test_import_of_the_package_takes_no_tfx():
    code = "import sys, tfrs_augment.components; print('tfx' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_components_never_import_the_whole_of_tfx():
    # `tfx.v1` imports every component and orchestrator with it.
    for path in COMPONENTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            assert not [n for n in names if n == "tfx.v1" or n.startswith("tfx.v1.")], path


@pytest.mark.tfx
def test_components_load_no_orchestrator():
    code = (
        "import sys\nfrom tfrs_augment.components import Augmenter, SynthesizerTrainer\n"
        "print([m for m in sys.modules if m == 'tfx.v1' or m.startswith('tfx.orchestration.kubeflow')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
