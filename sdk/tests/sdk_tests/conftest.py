"""What the tests of the SDK share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kaon import Workflow, load_workflow
from kaon.client import Client, Endpoints, Patience

# Tests stand outside of packages; what they share is found beside them.
sys.path.insert(0, str(Path(__file__).parent))

from sdk_api_server import World, start


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory for one workflow, with modules of its own that no other test sees."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    for name in set(sys.modules) - before:
        module = sys.modules[name]
        if str(tmp_path) in f"{getattr(module, '__file__', '')} {getattr(module, '__path__', '')}":
            del sys.modules[name]


@pytest.fixture
def build(project: Path) -> Callable[[str], Workflow]:
    """Writes the text as `flow.py` and loads the workflow that it defines."""

    def load(text: str) -> Workflow:
        (project / "flow.py").write_text(text)
        return load_workflow(project / "flow.py")

    return load


@pytest.fixture
def world() -> World:
    """What the test server knows."""
    return World()


@pytest.fixture
def address(world: World) -> Iterator[str]:
    """Address of a server that offers Kaon's API."""
    server, address = start(world)
    yield address
    server.stop(None).wait()


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    """A client of that server that loses patience quickly."""
    endpoints = Endpoints(server=address, publisher=address, tenant="acme", principal="ada")
    patience = Patience(total=0.5, first_pause=0.01)
    with Client(endpoints, patience=patience, watch_patience=patience) as client:
        yield client
