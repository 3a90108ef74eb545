"""Commands as a shell would run them."""

from __future__ import annotations

import shlex

from tfrs_augment import cli


def shell(command: str, capsys) -> tuple[int, str, str]:
    """Runs a command: its exit code, stdout and stderr."""
    capsys.readouterr()
    code = cli.main(shlex.split(command))
    captured = capsys.readouterr()
    return code, captured.out, captured.err
