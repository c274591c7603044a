"""The catalogue of published workflows: each file is loaded, and all run side by side in one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import catalogue_runs as catalogue
import pytest

from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem, step_types_of
from kaon_wire.definitions.graphs import all_blocks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

_AT_ONCE = 16
_SLOTS = 4


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


BY_NAME = {_name(path): path for path in catalogue.FILES}
# Those with steps in containers are loaded only: a test would need the images that they name.
RUN = sorted(name for name, path in BY_NAME.items() if "steps.docker(" not in path.read_text())


@pytest.fixture(scope="module")
def entries() -> Mapping[str, catalogue.Entry]:
    return {name: catalogue.read(path) for name, path in BY_NAME.items()}


@pytest.fixture(scope="module")
def system(
    entries: Mapping[str, catalogue.Entry], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedSystem]:
    types = {kind for name in RUN for kind in step_types_of(entries[name].workflow)}
    state = tmp_path_factory.mktemp("catalogue")
    settings = EmbeddedSettings(state=state, slots=_SLOTS, step_types=tuple(sorted(types)))
    with EmbeddedSystem(settings) as system:
        yield system


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest,
    entries: Mapping[str, catalogue.Entry],
    system: EmbeddedSystem,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Mapping[str, Future[list[catalogue.Found]]]]:
    """All that tests of this session ask for, begun at once."""
    asked = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and item.originalname == test_a_workflow_ends_as_its_file_expects.__name__
    }
    endpoints = Endpoints(server=system.address, principal="ada", roles=("owner",))
    with Client(endpoints) as client, ThreadPoolExecutor(_AT_ONCE) as pool:
        yield {
            name: pool.submit(
                catalogue.perform, client, entries[name], tmp_path_factory.mktemp("run")
            )
            for name in sorted(asked)
        }


def test_modules_of_the_catalogue_have_names_of_their_own() -> None:
    """They are loaded in one process, and runners import them from the directories of all systems."""
    names = Counter(path.stem for path in catalogue.FILES)
    assert [name for name, count in names.items() if count > 1] == []


def test_workflows_of_the_catalogue_have_names_of_their_own(
    entries: Mapping[str, catalogue.Entry],
) -> None:
    names = Counter(entry.workflow.name for entry in entries.values())
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("name", BY_NAME)
def test_a_file_says_what_it_shows_and_expects_more_than_that_it_ends(
    entries: Mapping[str, catalogue.Entry], name: str
) -> None:
    entry = entries[name]
    shown, _, published = entry.docstring.strip().splitlines()[0].partition(": ")
    assert shown
    assert published.endswith((".", ")")), entry.docstring
    assert all(each.compares for each in entry.runs)
    blocks = {block.name for block in all_blocks(entry.workflow.definition().body)}
    assert {name for each in entry.runs for name in each.names} <= blocks


@pytest.mark.parametrize("name", RUN)
def test_a_workflow_ends_as_its_file_expects(
    runs: Mapping[str, Future[list[catalogue.Found]]],
    entries: Mapping[str, catalogue.Entry],
    name: str,
) -> None:
    for expected, found in zip(entries[name].runs, runs[name].result(), strict=True):
        catalogue.compare(expected, found)
