"""No op without the contract."""

from __future__ import annotations

import importlib
import pathlib

import pytest

from tests.ops.contract import OpContract
from tests.ops.image_contract import ImageContract
from tfrs_augment.errors import InvalidArgumentError
from tfrs_augment.ops import Op, base


def subclasses(cls: type) -> set[type]:
    return {cls, *(deep for sub in cls.__subclasses__() for deep in subclasses(sub))}


def test_every_op_has_a_test_class_that_inherits_the_contract():
    for path in pathlib.Path(__file__).parent.glob("test_*.py"):
        importlib.import_module(f"tests.ops.{path.stem}")
    contracts = subclasses(OpContract) | subclasses(ImageContract)
    tested = {type(case.op) for contract in contracts for case in contract.cases}
    public = {op for op in base._REGISTRY.values() if op.__module__.startswith("tfrs_augment")}
    assert public == tested


def test_the_name_of_an_op_is_taken_once():
    with pytest.raises(InvalidArgumentError, match="an op 'IdDropout' already, in tfrs_augment"):
        type("IdDropout", (Op,), {"__module__": "elsewhere"})
    assert base._REGISTRY["IdDropout"].__module__ == "tfrs_augment.ops.tabular"
