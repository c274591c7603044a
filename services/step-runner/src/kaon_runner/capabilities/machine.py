"""What this machine is and has, as labels that workflows may ask for. Step types add what they find themselves."""

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
    """Architecture, system, processors, memory in GiB, Java and graphics processors."""
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
    """Major version of a Java, such as "17"; empty where there is none. Reads its release file, which takes no process."""
    if program is None:
        return ""
    release = Path(program).resolve().parent.parent / "release"
    text = release.read_text(encoding="utf-8") if release.is_file() else _told(program, "-version")
    found = re.search(r'(?:JAVA_VERSION=|version )"(?:1\.)?(\d+)', text)
    return found.group(1) if found else ""


def gpu_model(env: Mapping[str, str]) -> str:
    """Model of the first graphics processor that NVIDIA's tool shows, such as "nvidia-a100"; empty where there is none."""
    program = shutil.which("nvidia-smi", path=env.get("PATH"))
    if program is None:
        return ""
    first = _told(program, "--query-gpu=name", "--format=csv,noheader").strip().splitlines()[:1]
    return re.sub(r"[^a-z0-9.]+", "-", first[0].lower()).strip("-") if first else ""


def _named(name: str, value: str) -> dict[str, str]:
    return {name: value} if value else {}


def _told(*argv: str) -> str:
    """What a program says; empty when it fails."""
    try:
        told = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_ASK_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return told.stdout + told.stderr if told.returncode == 0 else ""
