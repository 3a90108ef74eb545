"""No op without the contract."""

from __future__ import annotations

from tests.ops import test_combine, test_numeric, test_tabular  # noqa: F401  (their classes are looked up)
from tests.ops.contract import OpContract
from tfrs_augment.ops import base


def subclasses(cls: type) -> set[type]:
    return {cls, *(deep for sub in cls.__subclasses__() for deep in subclasses(sub))}


def test_every_op_has_a_test_class_that_inherits_the_contract():
    tested = {type(case.op) for contract in subclasses(OpContract) for case in contract.cases}
    public = {op for op in base._REGISTRY.values() if op.__module__.startswith("tfrs_augment")}
    assert public == tested
