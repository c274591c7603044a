"""docker-compose.yml as compose reads it, without an engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kaon_local.compose import compose

# What compose must be told; none is used.
_TOLD = {"KAON_POSTGRES_PASSWORD": "none", "KAON_CONTAINERS": "/none", "KAON_TAG": "dev"}


def services(*overrides: Path) -> dict[str, dict[str, Any]]:
    """All services of docker-compose.yml as compose reads them, with files laid over it."""
    words = [word for each in overrides for word in ("-f", str(each))]
    text = compose(
        *words, "--env-file", "/dev/null", "--profile", "*", "config", "--format", "json", env=_TOLD
    )
    found: dict[str, dict[str, Any]] = json.loads(text)["services"]
    return found
