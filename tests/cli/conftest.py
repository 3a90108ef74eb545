"""A small shop as files, and a policy for it."""

from __future__ import annotations

import pytest

from tests.evaluation.conftest import shop  # noqa: F401
from tests.search.models import POLICY
from tests.shell import shell as run_command


@pytest.fixture(scope="session")
def files(shop, tmp_path_factory):  # noqa: F811
    """A folder with all rows, the same cut in two, and a policy."""
    folder = tmp_path_factory.mktemp("cli")
    shop.write_tfrecords(folder / "all", shards=2)
    order = shop.rows["timestamp"].argsort(kind="stable")
    shop.take(order[:2500]).write_tfrecords(folder / "train")
    shop.take(order[2500:]).write_tfrecords(folder / "test")
    POLICY.save(folder / "policy.json")
    return folder


@pytest.fixture
def shell(files, monkeypatch, capsys):
    """Runs a command in that folder: its exit code, stdout and stderr."""
    monkeypatch.chdir(files)

    return lambda command: run_command(command, capsys)
