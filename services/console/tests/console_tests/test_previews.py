"""Previews: read by the coordinator for whoever is logged in, and shown where they can do no harm."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import grpc
import pytest

from kaonapi.artifact.v1 import artifact_service_pb2 as a

from .serving import SOMEBODY, FakeService, Served, on_a_thread, serving

# What previews of the console under test show at most.
MOST = 100
DIGEST = "sha256:" + "0" * 64
READ = "kaonapi.artifact.v1.ArtifactService/ReadArtifact"


@dataclass(kw_only=True)
class Coordinator:
    """Has one artifact, of a run of one tenant; it notes what it is asked."""

    data: bytes = b""
    asked: list[a.ReadArtifactRequest] = field(default_factory=list)

    async def read(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        """Tell it in pieces."""
        wish = a.ReadArtifactRequest.FromString(request)
        self.asked.append(wish)
        tenant = dict(context.invocation_metadata())["kaon-tenant"]
        if (tenant, wish.run_id) != (SOMEBODY.tenant, "r1"):
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no run {wish.run_id}")
        told = a.RunArtifact(digest=DIGEST, size_bytes=len(self.data))
        yield a.ReadArtifactResponse(artifact=told).SerializeToString()
        for at in range(0, len(self.data), 64):
            piece = self.data[at : at + 64]
            yield a.ReadArtifactResponse(data=piece).SerializeToString()


@pytest.fixture(scope="module")
def coordinator() -> Coordinator:
    return Coordinator()


@pytest.fixture(scope="module")
def shown(
    console: Served, coordinator: Coordinator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A console before it."""
    with on_a_thread(FakeService({}, {READ: coordinator.read})) as (port, _):
        state: Path = tmp_path_factory.mktemp("previews")
        settings = replace(console.settings, server=f"127.0.0.1:{port}", state=state)
        with serving(settings) as served:
            yield served


def preview(kind: str = "text/plain", run_id: str = "r1", digest: str = DIGEST) -> str:
    wish = {"path": "regions[US]/train", "output": "plots[1]", "digest": digest, "type": kind}
    return f"/preview/{run_id}?{urlencode(wish)}"


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("text/html", "text/html; charset=utf-8"),
        ("text/csv", "text/plain; charset=utf-8"),
        ("application/json", "text/plain; charset=utf-8"),
        ("image/svg+xml", "image/svg+xml"),
        ("image/png", "image/png"),
    ],
)
def test_a_preview_is_in_a_sandbox(
    shown: Served, coordinator: Coordinator, kind: str, told: str
) -> None:
    coordinator.data = b"<script>alert(1)</script>"
    answer = shown.browser().get(preview(kind))
    assert (answer.status, answer.body) == (200, coordinator.data)
    assert answer.headers["content-type"] == told
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox; default-src 'none'; "), "no scripts, nothing is loaded"
    assert "frame-ancestors 'self'" in policy
    assert "script-src" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    assert answer.headers["cache-control"] == "no-store"
    assert "kaon-total-bytes" not in answer.headers
    asked = coordinator.asked[-1]
    assert (asked.path, asked.output) == ("regions[US]/train", "plots[1]")


def test_of_a_long_text_the_beginning_is_shown_and_said_so(
    shown: Served, coordinator: Coordinator
) -> None:
    coordinator.data = b"x" * (MOST + 1)
    answer = shown.browser().get(preview())
    assert answer.body == b"x" * MOST
    assert answer.headers["kaon-total-bytes"] == str(MOST + 1)
    assert shown.browser().get(preview("image/png")).status == 413
    coordinator.data = b"x" * MOST
    assert "kaon-total-bytes" not in shown.browser().get(preview()).headers


@pytest.mark.parametrize(
    "kind", ["text/javascript", "application/pdf", "image/tiff", "text/html;charset=utf-7", ""]
)
def test_other_types_have_no_preview(shown: Served, kind: str) -> None:
    assert shown.browser().get(preview(kind)).status == 415


def test_a_run_of_another_tenant_has_no_preview_whatever_digest_is_known(
    shown: Served, coordinator: Coordinator
) -> None:
    coordinator.data = b"secret"
    stranger = replace(SOMEBODY, tenant="strangers")
    answer = shown.browser(stranger).get(preview())
    assert (answer.status, b"secret" in answer.body) == (404, False)
    assert shown.browser().get(preview(run_id="r2")).status == 404


def test_an_output_that_is_another_one_by_now_is_not_shown_under_the_old_name(
    shown: Served, coordinator: Coordinator
) -> None:
    coordinator.data = b"new"
    answer = shown.browser().get(preview(digest="sha256:" + "1" * 64))
    assert (answer.status, b"new" in answer.body) == (409, False)


@pytest.mark.parametrize("path", ["/preview/", "/preview/..%2f..%2fetc%2fpasswd", "/preview/a/b"])
def test_what_is_no_run_is_no_path(shown: Served, path: str) -> None:
    answer = shown.browser().get(path)
    assert not answer.body.startswith(b"root:")
    assert answer.status in {200, 404}


def test_a_coordinator_that_is_away_is_named(console: Served) -> None:
    answer = console.browser().get(preview())
    assert answer.status == 503
    assert b"the coordinator at 127.0.0.1:1 does not answer" in answer.body
