"""Registered workflows."""

from __future__ import annotations

import pytest

from kaon_coordinator.store.base import Store
from kaon_wire.errors import NotFound
from kaonapi.workflow.v1 import definition_pb2


def _definition(
    name: str = "nightly", description: str = "first"
) -> definition_pb2.WorkflowDefinition:
    return definition_pb2.WorkflowDefinition(name=name, description=description)


def test_a_registered_definition_is_read_back_as_it_was(store: Store) -> None:
    record, created = store.put_workflow("default", _definition(), "v1", 5)
    assert created
    assert store.get_workflow("default", "nightly") == record
    assert store.get_workflow("default", "nightly", "v1").definition == _definition()
    assert record.create_us == 5


def test_registering_a_version_again_changes_only_which_one_is_current(store: Store) -> None:
    store.put_workflow("default", _definition(), "v1", 5)
    store.put_workflow("default", _definition(description="second"), "v2", 6)
    assert store.get_workflow("default", "nightly").version == "v2"
    again, created = store.put_workflow("default", _definition(), "v1", 7)
    assert not created
    assert again.create_us == 5
    assert store.get_workflow("default", "nightly").version == "v1"
    assert store.get_workflow("default", "nightly", "v2").definition.description == "second"


def test_a_version_that_is_put_aside_can_be_named_and_is_not_current(store: Store) -> None:
    store.put_workflow("default", _definition(), "v1", 5, aside=True)
    assert store.get_workflow("default", "nightly").version == "v1", "the first one"
    _, created = store.put_workflow(
        "default", _definition(description="second"), "v2", 6, aside=True
    )
    assert created
    assert store.get_workflow("default", "nightly", "v2").definition.description == "second"
    assert store.get_workflow("default", "nightly").version == "v1"
    _, created = store.put_workflow("default", _definition(description="second"), "v2", 7)
    assert not created
    assert store.get_workflow("default", "nightly").version == "v2"


def test_current_versions_are_listed_by_name(store: Store) -> None:
    store.put_workflow("default", _definition("weekly"), "v1", 5)
    store.put_workflow("default", _definition("nightly"), "v2", 6)
    store.put_workflow("default", _definition("nightly"), "v3", 7)
    found = [(record.name, record.version) for record in store.list_workflows("default")]
    assert found == [("nightly", "v3"), ("weekly", "v1")]


def test_tenants_do_not_see_each_others_workflows(store: Store) -> None:
    store.put_workflow("mine", _definition(), "v1", 5)
    assert store.list_workflows("theirs") == []
    with pytest.raises(NotFound, match="nightly"):
        store.get_workflow("theirs", "nightly")
    with pytest.raises(NotFound, match="'v9'"):
        store.get_workflow("mine", "nightly", "v9")
