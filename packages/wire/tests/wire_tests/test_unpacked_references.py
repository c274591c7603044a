"""References that only coordinators make are found however they are written."""

from __future__ import annotations

import json

import pytest

from kaon_wire.artifact_references import UNPACKED_TYPES, digests, unpacked

DIGEST = "a" * 64


def reference(kind: str) -> dict[str, object]:
    return {"artifact": {"uri": "file:///x", "digest": f"sha256:{DIGEST}", "type": kind}}


@pytest.mark.parametrize("kind", UNPACKED_TYPES)
def test_a_reference_that_is_unpacked_is_found_at_any_depth(kind: str) -> None:
    deep = [{"by name": [reference("file"), reference(kind)]}]
    assert unpacked(["1", json.dumps(deep)]) == kind
    assert unpacked([json.dumps(reference("file"))]) == ""


def test_a_reference_is_found_whose_characters_are_escapes() -> None:
    text = json.dumps(reference("value")).replace("artifact", "\\u0061rtifact")
    assert "artifact" not in text
    assert unpacked([text]) == "value"
    assert digests([text]) == {DIGEST}
