"""The step's directory and inputs as seen by the program in a container."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STEP_DIR = "/kaon/step"
INPUTS_DIR = "/kaon/inputs"


@dataclass(kw_only=True)
class ContainerView:
    """Translates a context; afterwards `mounts` has the required mounts."""

    # Path on this machine -> read-only path in the container, for every artifact input. One path may be needed under two names.
    mounts: list[tuple[Path, str]] = field(default_factory=list)

    def translate(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the content of context.json with the container's paths."""
        return {
            **document,
            "paths": {
                name: f"{STEP_DIR}/{Path(path).name}" for name, path in document["paths"].items()
            },
            "inputs": {
                name: self._translated(value, f"{INPUTS_DIR}/{name}")
                for name, value in document["inputs"].items()
            },
        }

    def _translated(self, value: Any, target: str) -> Any:
        if isinstance(value, list):
            return [
                self._translated(item, f"{target}/{number}") for number, item in enumerate(value)
            ]
        if (
            not isinstance(value, dict)
            or value.keys() != {"artifact"}
            or not value["artifact"].get("path")
        ):
            return value
        path, name = Path(value["artifact"]["path"]), value["artifact"].get("name")
        # The name of a copy means nothing for an artifact without a name.
        seen = f"{target}/{name}" if name else target
        self.mounts.append((path.resolve(), seen))
        return {"artifact": {**value["artifact"], "path": seen}}
