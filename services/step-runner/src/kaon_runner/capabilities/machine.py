"""Properties of this machine as labels. Step types add their own."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

_ASK_SECONDS = 5.0


def machine_labels() -> dict[str, str]:
    """Return labels for architecture, system, processors, memory in GiB, Java and GPUs."""
    memory = psutil.virtual_memory().total / 2**30
    return {
        "arch": platform.machine(),
        "os": platform.system().lower(),
        "cpus": str(psutil.cpu_count() or 1),
        "memory-gib": str(round(memory)),
        **_named("java", java_version(shutil.which("java"))),
        "gpu": gpu_model(os.environ) or "none",
    }


def java_version(program: str | None) -> str:
    """Return the major version of a Java installation, such as "17"; empty when there is none.

    It reads the release file, which needs no process.
    """
    if program is None:
        return ""
    release = Path(program).resolve().parent.parent / "release"
    text = release.read_text(encoding="utf-8") if release.is_file() else _told(program, "-version")
    found = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', text)
    return found.group(1) if found else ""


def gpu_model(env: Mapping[str, str]) -> str:
    """Return the model of the first GPU that nvidia-smi lists, such as "nvidia-a100"; empty when there is none."""
    program = shutil.which("nvidia-smi", path=env.get("PATH"))
    if program is None:
        return ""
    first = _told(program, "--query-gpu=name", "--format=csv,noheader").strip().splitlines()[:1]
    return re.sub(r"[^a-z0-9.]+", "-", first[0].lower()).strip("-") if first else ""


def _named(name: str, value: str) -> dict[str, str]:
    return {name: value} if value else {}


def _told(*argv: str) -> str:
    """Return the output of a program; empty when it fails."""
    try:
        told = subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=_ASK_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout + told.stderr if told.returncode == 0 else ""
