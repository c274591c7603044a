"""The system with an object store for artifacts. Takes a system of its own: KAON_LONG_TESTS=1 runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from stack import Stack, StackConfig, alone, settings_in, told
from support import Api, load, until

from kaon_local.paths import ROOT
from kaon_wire import canonical
from kaonapi.run.v1 import run_pb2

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not os.environ.get("KAON_LONG_TESTS"),
        reason="a second system takes some minutes: KAON_LONG_TESTS=1",
    ),
]


@pytest.fixture(scope="module")
def with_s3(images: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The system as deploy/compose/s3.env makes it."""
    settings = settings_in(ROOT / "deploy" / "compose" / "s3.env")
    config = StackConfig(
        project=f"kaon-s3-{os.getpid()}", state=tmp_path_factory.mktemp("s3"), settings=settings
    )
    with alone(config) as stack:
        told("with an object store", [f"healthy after {stack.up():.0f} s"])
        yield stack


def test_a_model_is_made_published_and_served_with_artifacts_in_the_object_store(
    with_s3: Stack,
) -> None:
    api = Api(with_s3.api)
    run_id = api.submit(load("containers/workflow.py", "publishing"), factor=3.0)
    assert api.wait(run_id).status == run_pb2.STATUS_SUCCEEDED
    model = canonical.loads(api.steps(run_id)["make"].outputs_json["model"])["artifact"]
    assert model["uri"].startswith("s3://kaon/artifacts/sha256/")
    until(
        lambda: with_s3.version_in_service() == 1, seconds=60, what="the consumer serves the model"
    )
    shared = with_s3.compose(
        "exec", "-T", "coordinator", "find", "/var/lib/kaon/artifacts", "-type", "f"
    )
    assert shared == ""
    api.close()
