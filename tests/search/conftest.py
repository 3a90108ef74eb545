"""The small catalogue of the tests of comparisons."""

from tests.evaluation.conftest import shop  # noqa: F401
