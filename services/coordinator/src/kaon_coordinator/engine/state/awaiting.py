"""What a gate that waits for a run waits for, in words."""

from __future__ import annotations

from kaonapi.run.v1 import history_pb2

_LONGEST = 200


def in_words(awaited: history_pb2.AwaitedRun | None) -> str:
    """Return which run is awaited; empty when none is."""
    if awaited is None:
        return ""
    params = ", ".join(f"{name}={text}" for name, text in sorted(awaited.params_json.items()))
    text = f"a successful run of {awaited.workflow}{f' with {params}' if params else ''}"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
