"""Small models for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOOD = """
class Model:
    def __init__(self, path):
        self.path = path

    def predict(self, request):
        return {"y": request["x"] * 2.0}
"""
CRASHING = "raise RuntimeError('no weights')\n"


def write_model(directory: Path, *, code: str = GOOD, expected: Any = None, **changes: Any) -> Path:
    """A model that doubles x, with a probe that expects so unless told otherwise."""
    directory.mkdir(parents=True, exist_ok=True)
    metadata = {
        "format": 1,
        "entry": "serve:Model",
        "probe": {"request": {"x": 2}, "expected": {"y": 4.0} if expected is None else expected},
    }
    (directory / "kaon-model.json").write_text(json.dumps(metadata | changes))
    (directory / "serve.py").write_text(code)
    return directory
