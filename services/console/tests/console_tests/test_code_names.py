"""The names that the console's Code tab may not write as keywords are those that the SDK and Python take."""

from __future__ import annotations

import inspect
import json
import keyword
from collections.abc import Callable, Collection

import pytest

import kaon.dsl
from kaon import steps, sub_workflow
from kaon_local.paths import ROOT

_TAKEN = json.loads((ROOT / "services/console/web/src/run/code/taken.json").read_text())


def _named(*functions: Callable[..., object]) -> set[str]:
    """Return the names of the functions' own parameters."""
    return {
        each.name
        for function in functions
        for each in inspect.signature(function).parameters.values()
        if each.kind is not each.VAR_KEYWORD
    }


@pytest.mark.parametrize(
    ("listed", "names"),
    [
        ("step", _named(*(getattr(steps, name) for name in steps.__all__))),
        ("subWorkflow", _named(sub_workflow)),
        ("keywords", keyword.kwlist),
        ("language", kaon.dsl.__all__),
    ],
)
def test_the_code_tab_knows_which_names_are_taken(listed: str, names: Collection[str]) -> None:
    assert sorted(_TAKEN[listed].split()) == sorted(names)
