"""What people may call a step, block or cell of a run."""

from __future__ import annotations

import pytest

from kaon_coordinator.api import places
from kaon_coordinator.engine.definition.compiled import CompiledWorkflow, compile_workflow
from kaon_coordinator.problems import FailedPrecondition
from kaon_wire.errors import NotFound
from kaonapi.run.v1 import run_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

RUNNING, SUCCEEDED = run_pb2.STATUS_RUNNING, run_pb2.STATUS_SUCCEEDED


def _place(path: str, status: int = SUCCEEDED, *, is_cell: bool = False) -> places.Place:
    return places.Place(path=path, status=status, is_cell=is_cell)


PLACES = [
    _place("cycle", RUNNING),
    _place("cycle#1", is_cell=True),
    _place("cycle#2", RUNNING, is_cell=True),
    _place("cycle#1/regions"),
    _place("cycle#2/regions", RUNNING),
    _place("cycle#1/regions[US]", is_cell=True),
    _place("cycle#2/regions[US]", RUNNING, is_cell=True),
    _place("cycle#1/regions[US]/train"),
    _place("cycle#2/regions[US]/train", RUNNING),
    _place("cycle#2/regions[CA]/train"),
    _place("report"),
]


def _workflow() -> CompiledWorkflow:
    train = d.Graph(blocks=[d.Block(name="train", step=d.Step())])
    regions = d.Graph(blocks=[d.Block(name="regions", for_each=d.ForEach(body=train))])
    blocks = [
        d.Block(name="cycle", repeat=d.Repeat(body=regions)),
        d.Block(name="report", step=d.Step()),
        d.Block(name="publish", step=d.Step()),
    ]
    return compile_workflow(d.WorkflowDefinition(name="w", body=d.Graph(blocks=blocks)), "v")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("report", ["report"]),
        ("cycle#1/regions[US]/train", ["cycle#1/regions[US]/train"]),
        (
            "train",
            ["cycle#1/regions[US]/train", "cycle#2/regions[US]/train", "cycle#2/regions[CA]/train"],
        ),
        ("regions[CA]/train", ["cycle#2/regions[CA]/train"]),
        ("cycle#2/train", []),
        ("cycle#2/regions/train", ["cycle#2/regions[US]/train", "cycle#2/regions[CA]/train"]),
        ("regions", ["cycle#1/regions", "cycle#2/regions"]),
        ("regions[US]", ["cycle#1/regions[US]", "cycle#2/regions[US]"]),
        ("cycle", ["cycle"]),
        ("trian", []),
    ],
)
def test_a_path_its_end_or_a_name_finds_places(written: str, found: list[str]) -> None:
    assert [place.path for place in places.named(PLACES, written)] == found


def test_the_only_place_that_fits_is_meant_and_several_are_listed() -> None:
    found = places.named(PLACES, "train")
    assert (
        places.the_one(found, "train", "run r", fits=places.goes_on) == "cycle#2/regions[US]/train"
    )
    with pytest.raises(
        FailedPrecondition, match=r"2 places named 'train': give one of cycle#1.*, cycle#2"
    ) as told:
        places.the_one(found, "train", "run r", fits=places.is_over)
    assert "cycle#2/regions[US]/train" not in str(told.value)


@pytest.mark.parametrize(
    ("written", "kind", "told"),
    [
        ("publish", FailedPrecondition, r"'publish' \(yet\)$"),
        ("regions/train", FailedPrecondition, r"\(yet\); it has cycle#\d/regions"),
        ("trian", NotFound, "'w' has no step, block or cell 'trian'; did you mean train?"),
        ("regions[UK]/trian", NotFound, r"did you mean cycle#\d/regions\[\w\w\]/train"),
        ("zzz", NotFound, "it has cycle, regions, train, report, publish"),
    ],
)
def test_a_name_without_a_place_is_refused_with_the_nearest_ones(
    written: str, kind: type[Exception], told: str
) -> None:
    error = places.missing(_workflow(), PLACES, written, "run r")
    assert type(error) is kind
    with pytest.raises(kind, match=told):
        raise error
