"""What `pip install tfrs-augment` installs."""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).resolve().parent
COMPONENTS = "tfrs_augment.components"


def read_version() -> str:
    """Returns the version from its only home, without importing the package."""
    text = (ROOT / "tfrs_augment" / "__init__.py").read_text(encoding="utf-8")
    match = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if match is None:
        raise RuntimeError('tfrs_augment/__init__.py must hold a line __version__ = "X.Y.Z".')
    return match.group(1)


setuptools.setup(
    name="tfrs-augment",
    version=read_version(),
    description="Data augmentation for TensorFlow Recommenders: in the model, and as a Beam job.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    packages=[
        *setuptools.find_packages(include=["tfrs_augment", "tfrs_augment.*"]),
        COMPONENTS,
        *(f"{COMPONENTS}.{name}" for name in setuptools.find_packages("components")),
    ],
    # A top-level package called "components" would collide with everybody's.
    package_dir={COMPONENTS: "components"},
    package_data={"tfrs_augment": ["py.typed"]},
    python_requires=">=3.10,<3.14",
    install_requires=[
        "apache-beam>=2.74,<2.78",
        # Functions for the processes of a comparison; Beam has one of its own, for itself.
        "cloudpickle>=2.2",
        # Beam's TFRecord IO computes its checksums with it and does not ask for it.
        "google-crc32c>=1.5",
        # The MovieLens builder of TensorFlow Datasets imports it and does not ask for it.
        "importlib_resources>=5.0",
        "matplotlib>=3.7",
        "numba>=0.60",
        "numpy>=1.26",
        "protobuf>=3.20.3",
        "tensorflow>=2.16.2,<2.22",
        "tensorflow-datasets>=4.9.3",
        # TensorFlow Datasets takes any; on Python 3.10 pip would else go back to one from 2017.
        "tensorflow-metadata>=1.16",
        "tensorflow-recommenders>=0.7.7,<0.8",
        # Keras 2: TensorFlow Recommenders refuses Keras 3. Its minor version follows TensorFlow's.
        "tf-keras>=2.16,<2.22",
        "tqdm>=4.60",
    ],
    extras_require={
        "dev": [
            # Private fits are tested with it; it asks for attrs below 24.
            "dp-accounting>=0.6",
            # Searches are tested with it.
            "optuna>=4.0",
            # policy.apply takes DataFrames, and is tested with them.
            "pandas>=1.5",
            "pytest>=8.0",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            # References that ops are tested against, and classical models in benchmarks.
            "scikit-learn>=1.4",
            "scipy>=1.11",
        ],
        # Reading and showing pictures, for ops on images.
        "images": ["pillow>=10.0"],
        # Drawing the candidates of a search, and keeping its study.
        "search": ["optuna>=4.0"],
        # Private fits; fitting regressions and judging rows by a boosted tree. Sampling from a file needs
        # neither.
        "synthesis": ["dp-accounting>=0.6", "scikit-learn>=1.4"],
        # Two lanes: 1.16 goes with TensorFlow 2.16 on Python 3.10; 1.21 with TensorFlow 2.21, and
        # its wheels need glibc 2.39 (Debian 13, Ubuntu 24.04).
        "tfx": [
            # tfx-bsl 1.16 imports it and does not ask for it.
            'dill>=0.3.1; python_version < "3.11"',
            "tfx>=1.16,<1.22",
        ],
        # Compiling a pipeline for Kubeflow or Vertex; TFX's own extra leaves it out on Python 3.12.
        "kubeflow": ["kfp-pipeline-spec>=0.2.2,<2.17", "tfx>=1.16,<1.22"],
    },
    entry_points={"console_scripts": ["tfrs-augment = tfrs_augment.cli:main"]},
)
