"""The table of methods names every method of every service, and no other."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pool import Default

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


def _fields(message: Descriptor, seen: set[str]) -> Iterator[str]:
    """The names of all fields of a message, and of messages in it."""
    if message.full_name in seen:
        return
    seen.add(message.full_name)
    for field in message.fields:
        yield field.name
        if field.message_type is not None:
            yield from _fields(field.message_type, seen)


def test_no_request_names_the_tenant_in_which_it_acts() -> None:
    """A second place for it, beside the caller's, is what checks overlook. Tokens and tenants are described by theirs."""
    for path in _methods():
        service, _, name = path[1:].rpartition("/")
        if not service.startswith("kaonapi.access."):
            request = Default().FindServiceByName(service).methods_by_name[name].input_type
            assert not {"tenant", "namespace"} & set(_fields(request, set())), path


def test_what_changes_something_is_audited() -> None:
    for method, access in TABLE.items():
        name = method.rpartition("/")[-1]
        assert access.audited != name.startswith(READING), method
