"""Each protocol of the store has a contract of its own, which holds for every store."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from kaon_coordinator.store import protocols
from kaon_coordinator.store.base import Store

PARTS = [part for part in Store.__mro__ if part.__module__.startswith(f"{protocols.__name__}.")]


def methods(part: type[Any]) -> set[str]:
    return {
        name for name, value in vars(part).items() if callable(value) and not name.startswith("_")
    }


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__)
def test_the_contract_of_a_protocol_calls_each_of_its_methods(part: type[Any]) -> None:
    contract = Path(__file__).with_name(f"test_{part.__module__.rsplit('.', 1)[-1]}.py")
    called = {
        each.attr
        for each in ast.walk(ast.parse(contract.read_text()))
        if isinstance(each, ast.Attribute)
    }
    assert methods(part) <= called


def test_the_store_is_nothing_but_its_protocols() -> None:
    assert methods(Store) == set()
    names = [name for part in PARTS for name in methods(part)]
    assert len(names) == len(set(names)) > len(PARTS) > 10
