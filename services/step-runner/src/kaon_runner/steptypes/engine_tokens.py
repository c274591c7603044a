"""The tokens by which steps call HiveServer2 and Spark Connect: one for each tenant, in a file that an administrator writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kaon_runner.errors import PlatformStepError
from kaon_runner.settings import Settings


def environment(settings: Settings, tenant: str) -> dict[str, str]:
    """Return what the process of a step must know to call the engines as its tenant.

    The file is read anew for each step, so tokens rotate without a restart.

    Raises:
        PlatformStepError: The file cannot be read, or names no token of the tenant.
    """
    told = {"KAON_ENGINES_CA": settings.engines_ca} if settings.engines_ca else {}
    if settings.engines_tokens is None:
        return told
    known = _read(settings.engines_tokens)
    if tenant not in known:
        raise PlatformStepError(
            "NoEngineToken",
            f"this runner has no token of tenant {tenant!r} for Hive and Spark: add a line to the file that "
            f"KAON_ENGINES_TOKENS names ({settings.engines_tokens})",
        )
    return {**told, "KAON_ENGINE_TOKEN": known[tenant]}


def _read(file: Path) -> Mapping[str, str]:
    """Return tokens by tenant; a line is a tenant, a space and its token, and the first line of a tenant counts."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PlatformStepError("NoEngineToken", f"KAON_ENGINES_TOKENS: {error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise PlatformStepError(
                "NoEngineToken",
                f"KAON_ENGINES_TOKENS: line {number} of {file} is not a tenant, a space and a token",
            )
        found.setdefault(words[0], words[1])
    return found
