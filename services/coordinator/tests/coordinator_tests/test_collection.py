"""Artifacts that nothing needs go; those that a run needs, or begins to need, stay."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from kaon_artifacts import Artifact, ArtifactStore
from kaon_coordinator.api.artifact_renewal import ArtifactRenewal
from kaon_coordinator.collection import Collection
from kaon_coordinator.store.base import Store
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_telemetry.metrics import CoordinatorMetrics
from kaon_wire import canonical
from kaon_wire.errors import NotFound

from .store.build import submitted

DAY = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty database."""
    store = open_store(f"sqlite:///{tmp_path}/kaon.db")
    yield store
    store.close()


@pytest.fixture
def artifacts(tmp_path: Path) -> ArtifactStore:
    """An empty store."""
    return ArtifactStore((tmp_path / "artifacts").as_uri())


def old(artifacts: ArtifactStore, data: bytes) -> Artifact:
    """One that was written eight days ago."""
    kept = artifacts.put_bytes(data)
    then = time.time() - 8 * DAY
    os.utime(kept.uri.removeprefix("file://"), (then, then))
    return kept


def reference(artifact: Artifact, media_type: str = "application/octet-stream") -> str:
    return canonical.dumps({"artifact": {**artifact.to_json(), "media_type": media_type}})


def collection(store: Store, artifacts: ArtifactStore) -> tuple[Collection, CollectorRegistry]:
    registry = CollectorRegistry()
    metrics = CoordinatorMetrics(registry)
    return Collection(StoreThread(store), artifacts, days=7, owner="me", metrics=metrics), registry


async def test_a_round_deletes_what_nothing_names_and_counts_it(
    store: Store, artifacts: ArtifactStore
) -> None:
    named, lost = old(artifacts, b"named"), old(artifacts, b"lost")
    submitted(store, params={"data": reference(named)})
    digests = {each.digest.removeprefix("sha256:"): each.size for each in (named, lost)}
    store.grant("default", digests)
    rounds, registry = collection(store, artifacts)
    swept = await rounds.once()
    assert (swept.deleted, swept.kept) == (1, 1)
    assert store.missing_grants("default", digests.keys()) == {lost.digest.removeprefix("sha256:")}
    assert artifacts.exists(named)
    assert not artifacts.exists(lost)
    assert registry.get_sample_value("kaon_artifacts_deleted_total") == 1
    assert registry.get_sample_value("kaon_artifacts_deleted_bytes_total") == 4
    assert registry.get_sample_value("kaon_artifacts_kept") == 1


async def test_what_a_large_value_names_stays_with_it(
    store: Store, artifacts: ArtifactStore
) -> None:
    """The manifest of a foreach, given to a run that outlives the one whose cells wrote the files."""
    cells = [old(artifacts, f"cell {number}".encode()) for number in range(3)]
    inner = old(artifacts, reference(cells[2]).encode())
    rows = [*(reference(cell) for cell in cells[:2]), reference(inner, "application/json")]
    manifest = old(artifacts, "".join(f"{row}\n" for row in rows).encode())
    submitted(store, params={"cells": reference(manifest, "application/x-ndjson")})
    assert (await collection(store, artifacts)[0].once()).deleted == 0
    assert all(artifacts.exists(each) for each in (*cells, inner, manifest))


async def test_a_run_that_starts_while_a_round_goes_on_finds_its_artifact(
    store: Store, artifacts: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The round has read what is needed already when the submission comes."""
    given = old(artifacts, b"of a run that was deleted")
    real = store.references

    def references(superseded_us: int) -> object:
        found = real(superseded_us)
        text = reference(given)
        # As the API does.
        ArtifactRenewal(artifacts)._artifacts.renew(artifacts.by_digest(given.digest))
        submitted(store, params={"data": text})
        return found

    monkeypatch.setattr(store, "references", references)
    assert (await collection(store, artifacts)[0].once()).deleted == 0
    assert artifacts.exists(given)


async def test_a_caller_who_names_an_old_artifact_or_version_renews_it(
    artifacts: ArtifactStore,
) -> None:
    given, bundle = old(artifacts, b"given"), old(artifacts, b"bundle")
    renewal = ArtifactRenewal(artifacts)
    await renewal.named_in(reference(given).encode(), b"sha256:" + b"0" * 64)
    await renewal.bundle(bundle.digest)
    for each in (given, bundle):
        assert time.time() - os.stat(each.uri.removeprefix("file://")).st_mtime < 60


async def test_a_version_whose_code_is_gone_says_what_to_do(artifacts: ArtifactStore) -> None:
    with pytest.raises(NotFound, match="register the workflow again"):
        await ArtifactRenewal(artifacts).bundle("sha256:" + "0" * 64)


def test_by_hand_it_tells_first_what_it_would_do(
    store: Store, artifacts: ArtifactStore, tmp_path: Path
) -> None:
    lost = old(artifacts, b"lost")
    environment = {
        **os.environ,
        "KAON_DATABASE": f"sqlite:///{tmp_path}/kaon.db",
        "KAON_ARTIFACTS": artifacts.base_url,
    }

    def by_hand(*words: str) -> str:
        argv = [sys.executable, "-m", "kaon_coordinator.collection", *words]
        return subprocess.run(
            argv, env=environment, capture_output=True, text=True, check=True
        ).stdout

    assert by_hand("--dry-run").startswith("would delete 1 artifact (4 bytes), 0 stay")
    assert artifacts.exists(lost)
    assert by_hand().startswith("deleted 1 artifact")
    assert not artifacts.exists(lost)
