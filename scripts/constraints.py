"""Writes the files constraints*.txt: every package pinned, for both ends and both lanes of TFX.

    .venv/bin/pip install uv
    .venv/bin/python scripts/constraints.py

One resolution for each supported Python; pins that differ between them carry a marker.
"""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parents[1]
NEWEST = ["tensorflow==2.21.*", "apache-beam==2.77.*"]
OLDEST = [
    "tensorflow==2.16.2",
    "tf-keras==2.16.0",
    "apache-beam==2.74.0",
    "numba==0.60.0",
    "tensorflow-datasets==4.9.3",
    # Later releases of tensorflow-metadata are generated for a protobuf that TensorFlow 2.16 refuses, and
    # Beam 2.74 works with none of those in between.
    "tensorflow-metadata==1.16.1",
    "protobuf==3.20.3",
    # TensorBoard 2.16 imports pkg_resources, which later releases no longer have.
    "setuptools<81",
]
TFX_1_16 = [
    "tfx[kfp]==1.16.0",
    "tensorflow==2.16.2",
    "tf-keras==2.16.0",
    # tfx-bsl 1.16 imports it and does not ask for it.
    "dill",
    # As above.
    "setuptools<81",
]
TFX_1_21 = [
    "tfx==1.21.0",
    "tensorflow==2.21.*",
    # Beam 2.77 with its cloud extra, which TFX asks for, needs a later protobuf than
    # tensorflow-metadata takes on Python 3.10.
    'apache-beam==2.77.*; python_version >= "3.11"',
    # TFX's own extra leaves it out on Python 3.12 and later.
    "kfp-pipeline-spec<2.17",
]


def resolve(
    python: str, extra: list[str], extras: Sequence[str] = ("dev",), platform: str = "linux"
) -> dict[str, str]:
    """Returns {package: version} as resolved for one platform and one version of Python."""
    uv = shutil.which("uv", path=str(pathlib.Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise SystemExit("uv was not found. Run: pip install uv")
    command = [uv, "pip", "compile", "--quiet", "--no-annotate", "--no-header"]
    command += ["--python-platform", platform, "--python-version", python]
    command += [part for name in extras for part in ("--extra", name)]
    command += ["setup.py", "-"]
    done = subprocess.run(
        command, input="\n".join(extra), capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        raise SystemExit(f"No resolution for Python {python}:\n{done.stderr}")
    return dict(line.split("==") for line in done.stdout.splitlines() if "==" in line)


def merge(pins: dict[str, dict[str, str]]) -> list[str]:
    """Returns one line a package, or one a package and Python where their versions differ."""
    lines = []
    for name in sorted(set().union(*pins.values())):
        versions = {python: of.get(name) for python, of in pins.items()}
        if len(set(versions.values())) == 1:
            lines.append(f"{name}=={versions.popitem()[1]}")
        else:
            lines += [
                f'{name}=={version}; python_version == "{python}"'
                for python, version in versions.items()
                if version
            ]
    return lines


def write(
    name: str,
    title: str,
    pythons: list[str],
    extra: list[str],
    extras: Sequence[str] = ("dev",),
    platform: str = "linux",
) -> None:
    header = [f"# {title}", "# Written by scripts/constraints.py; change that and run it again."]
    lines = header + merge({python: resolve(python, extra, extras, platform) for python in pythons})
    (ROOT / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write(
        "constraints.txt",
        "The new end: TensorFlow 2.21 and Beam 2.77 on Python 3.10 to 3.13.",
        ["3.10", "3.11", "3.12", "3.13"],
        NEWEST,
    )
    write(
        "constraints-oldest.txt",
        "The old end: TensorFlow 2.16.2 and Beam 2.74 on Python 3.10.",
        ["3.10"],
        OLDEST,
    )
    write(
        "constraints-tfx-1.16.txt",
        "TFX 1.16 with TensorFlow 2.16.2 and Beam 2.74 on Python 3.10.",
        ["3.10"],
        TFX_1_16,
        ["dev", "tfx", "kubeflow"],
    )
    write(
        "constraints-tfx-1.21.txt",
        "TFX 1.21 with TensorFlow 2.21 on Python 3.10 to 3.13, where the C library is glibc 2.39 or newer.",
        ["3.10", "3.11", "3.12", "3.13"],
        TFX_1_21,
        ["dev", "tfx", "kubeflow", "synthesis"],
        "x86_64-manylinux_2_39",
    )
