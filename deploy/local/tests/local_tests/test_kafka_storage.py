"""The data of a broker that has never run, copied for another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon_local.kafka_storage import copy_storage, stored_cluster_id


@pytest.fixture
def formatted(tmp_path: Path) -> Path:
    """What Kafka's tool leaves."""
    found = tmp_path / "formatted"
    (found / "__cluster_metadata-0").mkdir(parents=True)
    (found / "__cluster_metadata-0" / "0.checkpoint").write_bytes(b"voters")
    (found / "meta.properties").write_text("#\nnode.id=1\ncluster.id=first\nversion=1\n")
    return found


def test_a_copy_belongs_to_a_cluster_of_its_own(formatted: Path, tmp_path: Path) -> None:
    copy_storage(formatted, tmp_path / "data", "second")
    assert stored_cluster_id(tmp_path / "data") == "second"
    assert stored_cluster_id(formatted) == "first"
    assert "node.id=1\n" in (tmp_path / "data" / "meta.properties").read_text()
    copied = tmp_path / "data" / "__cluster_metadata-0" / "0.checkpoint"
    assert copied.read_bytes() == b"voters"


def test_a_copy_that_was_interrupted_is_not_formatted_and_is_made_again(
    formatted: Path, tmp_path: Path
) -> None:
    (tmp_path / "data" / "__cluster_metadata-0").mkdir(parents=True)
    assert stored_cluster_id(tmp_path / "data") is None
    copy_storage(formatted, tmp_path / "data", "second")
    assert stored_cluster_id(tmp_path / "data") == "second"
