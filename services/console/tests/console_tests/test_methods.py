"""Every method of every service is passed on, or refused by name."""

from __future__ import annotations

import importlib
import pkgutil

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default

import kaonapi
from kaon_console.methods import METHODS, REFUSED, Access, Backend


def _described() -> dict[str, MethodDescriptor]:
    """All methods of the protos, also of those that nobody has thought of yet."""
    found = {}
    for module in pkgutil.walk_packages(kaonapi.__path__, "kaonapi."):
        if module.name.endswith("_pb2"):
            importlib.import_module(module.name)
            path = module.name.removesuffix("_pb2").replace(".", "/") + ".proto"
            for service in Default().FindFileByName(path).services_by_name.values():
                found |= {
                    f"{service.full_name}/{method.name}": method for method in service.methods
                }
    return found


def test_every_method_is_listed_or_refused_by_name() -> None:
    described = _described()
    assert described
    decided = METHODS.keys() | REFUSED.keys()
    assert set(described) - decided == set(), (
        "add these to kaon_console/methods.py: METHODS or REFUSED"
    )
    assert decided - set(described) == set(), "these are in no proto any more"
    assert not METHODS.keys() & REFUSED.keys()


def test_what_is_listed_streams_as_the_proto_says() -> None:
    described = _described()
    for name, method in METHODS.items():
        assert method.streams == described[name].server_streaming, name
        assert not described[name].client_streaming, name


def test_a_method_that_changes_something_is_a_command() -> None:
    """The beginnings of names that only read: anything else must be a command, which a console that only shows refuses."""
    reading = (
        "Get",
        "List",
        "Query",
        "Count",
        "Read",
        "Watch",
        "Explain",
        "Verify",
        "Diagnose",
        "SeqAt",
    )
    for name, method in METHODS.items():
        reads = name.rpartition("/")[2].startswith(reading)
        assert (method.access is Access.READ) == reads, name


def test_a_method_is_answered_by_its_own_service() -> None:
    assert METHODS["kaonapi.run.v1.RunService/GetRun"].backend is Backend.COORDINATOR
    assert METHODS["kaonapi.view.v1.ViewService/Watch"].backend is Backend.VIEW
    assert METHODS["kaonapi.model.v1.ModelService/ListModels"].backend is Backend.PUBLISHER
