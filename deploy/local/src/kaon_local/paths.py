"""Where things are: the checkout, and its cache of jars, data and images."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
DEPLOY = ROOT / "deploy" / "local"


def cache() -> Path:
    """What is fetched or built once for all runs; KAON_CACHE moves it."""
    return Path(os.environ.get("KAON_CACHE", ROOT / ".kaon" / "cache")).absolute()
