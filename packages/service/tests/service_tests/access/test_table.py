"""The table of methods names every method of every service, and no other."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import kaonapi
from kaon_service.access.table import TABLE

READING = (
    *("Get", "List", "Watch", "Read", "Query", "Count", "SeqAt"),
    *("Explain", "Diagnose", "Verify", "WhoAmI", "Resolve", "Server"),
)


def _methods() -> Iterator[str]:
    """The paths of all methods in the generated code."""
    for module in pkgutil.walk_packages(kaonapi.__path__, "kaonapi."):
        if module.name.endswith("_pb2"):
            descriptor = importlib.import_module(module.name).DESCRIPTOR
            for service in descriptor.services_by_name.values():
                yield from (f"/{service.full_name}/{method.name}" for method in service.methods)


def test_every_method_has_an_entry_and_every_entry_a_method() -> None:
    ours = {method for method in TABLE if method.startswith("/kaonapi.")}
    assert ours == set(_methods())


def test_what_changes_something_is_audited() -> None:
    for method, access in TABLE.items():
        name = method.rpartition("/")[-1]
        assert access.audited != name.startswith(READING), method
