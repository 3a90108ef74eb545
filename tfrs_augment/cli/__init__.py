"""The command line, `tfrs-augment COMMAND`: a module a command, each with `add_parser` and `main`."""

from __future__ import annotations

import argparse
import errno
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Sequence

from tfrs_augment import __version__
from tfrs_augment.cli import (
    compare,
    fit,
    inspect,
    report,
    run,
    search,
    synthesize,
    validate,
    verify,
)

INTERRUPTED = 130
"""Exit code after Ctrl-C: what a shell gives for a command that SIGINT ended."""
READER_GONE = 141
"""Exit code where the reader of stdout has left, as in `tfrs-augment ... | head`: that of SIGPIPE."""

_EPILOG = """\
tfrs-augment COMMAND --help shows a command's options and examples.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 the input, the output or
the data were at fault, 2 the command was, 130 interrupted.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tfrs-augment",
        description="Data augmentation for TensorFlow Recommenders.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (inspect, validate, run, fit, synthesize, verify, compare, search, report):
        command.add_parser(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    try:
        try:
            return _main(argv)
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # Python flushes stdout once more at its end, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            return READER_GONE
        print(f"tfrs-augment: stdout cannot be written: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("tfrs-augment: interrupted", file=sys.stderr)
        return INTERRUPTED


def _import_quietly() -> None:
    """Imports what all commands need, without what TensorFlow and Beam say of themselves at that.

    TensorFlow writes to stderr before its log level counts, from C++; so the file itself is turned away. If
    the import fails, what was said is shown.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.getLogger().setLevel(logging.ERROR)
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            importlib.import_module("tfrs_augment.beam")
        except ImportError:
            said.seek(0)
            os.write(stderr, said.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _main(argv: Sequence[str] | None) -> int:
    parser = _parser()
    arguments, others = parser.parse_known_args(argv)
    if others and not arguments.takes_beam_options:
        parser.error(f"unknown options of {arguments.command}: {' '.join(others)}")
    # Only now, so that --help and a wrong option answer at once.
    _import_quietly()
    from tfrs_augment.errors import AugmentError, InvalidArgumentError, UnknownFeatureError

    logging.getLogger("apache_beam").setLevel(logging.ERROR)
    try:
        return arguments.main(arguments, others)
    except AugmentError as error:
        message = " ".join(str(error).split())
        print(f"tfrs-augment: {message}", file=sys.stderr)
        return 2 if isinstance(error, InvalidArgumentError | UnknownFeatureError) else 1
