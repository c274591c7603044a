"""Installs what this machine lacks, before anything else of the project exists. Standard library only.

On Debian and Ubuntu as root it installs packages; elsewhere it lists exactly what to install, and ends with
exit code 1 when something that is needed is missing. What is only wanted (a Docker engine, a browser) is told and left out.

    python3 deploy/local/install.py            install, or list
    python3 deploy/local/install.py --check    list only
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Need:
    """Something that a command of the project needs."""

    what: str
    packages: tuple[str, ...]
    present: Callable[[], bool]
    # What is missing without it, where the project works all the same; empty: it does not.
    without: str = ""


def program(*names: str) -> Callable[[], bool]:
    """Whether all these programs are on the path."""
    return lambda: all(shutil.which(name) for name in names)


def file(*patterns: str) -> Callable[[], bool]:
    """Whether there is a file for every pattern under /."""
    return lambda: all(any(Path("/").glob(pattern.lstrip("/"))) for pattern in patterns)


def venv_works() -> bool:
    """Whether this Python is new enough and can make environments: Debian keeps that apart."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return False
    return sys.version_info >= (3, 11)


def java_17() -> bool:
    """Whether Java 17 or newer is there."""
    if not shutil.which("java"):
        return False
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    version = told.partition('"')[2].partition('"')[0].split(".")[0]
    return version.isdigit() and int(version) >= 17


_CONTAINERS = "steps and models are not run in containers"
NEEDS = (
    Need("Python 3.11 with venv", ("python3", "python3-venv"), venv_works),
    Need("Java 17", ("openjdk-17-jre-headless",), java_17),
    Need("Maven, which fetches Kafka and HDFS", ("maven",), program("mvn")),
    Need("R", ("r-base-core",), program("Rscript")),
    Need(
        "what rpy2 is built with",
        ("r-base-dev", "libpcre2-dev", "libblas-dev", "liblzma-dev", "libbz2-dev", "libicu-dev"),
        file("/usr/include/pcre2.h", "/usr/share/R/include/R.h"),
    ),
    Need("a C compiler", ("build-essential",), program("gcc", "make")),
    Need("PostgreSQL, for tests", ("postgresql",), file("/usr/lib/postgresql/*/bin/postgres")),
    Need(
        "Node.js with npm, for buf and the console's page",
        ("nodejs", "npm"),
        program("node", "npm"),
    ),
    Need("git", ("git",), program("git")),
    Need("a Docker engine", ("docker.io", "iptables"), program("dockerd"), without=_CONTAINERS),
    Need(
        "an image registry", ("docker-registry",), program("docker-registry"), without=_CONTAINERS
    ),
    Need(
        "haproxy",
        ("haproxy",),
        program("haproxy"),
        without="a closed system (make dev SECURE=1) has no Hive and Spark",
    ),
    Need(
        "mmdebstrap, which makes base images",
        ("mmdebstrap",),
        program("mmdebstrap"),
        without=_CONTAINERS,
    ),
    Need(
        "Chromium",
        ("chromium",),
        program("chromium"),
        without="the console's page is not tested in a browser",
    ),
)


def main() -> int:
    """Entry point; returns the exit code."""
    missing = [need for need in NEEDS if not need.present()]
    if not missing:
        return 0
    can_install = (
        os.geteuid() == 0 and shutil.which("apt-get") is not None and "--check" not in sys.argv
    )
    if not can_install:
        return list_missing(missing)
    install([package for need in missing for package in need.packages])
    left = [need for need in missing if not need.present()]
    return list_missing(left) if left else 0


def list_missing(missing: list[Need]) -> int:
    """Says what to install; 1 when something of it is required."""
    print("This machine lacks:")
    for need in missing:
        note = f" (wanted; without it {need.without})" if need.without else ""
        print(f"  {need.what}{note}: Debian package {' '.join(need.packages)}")
    packages = " ".join(package for need in missing for package in need.packages)
    print(f"On Debian or Ubuntu: sudo apt-get install --no-install-recommends {packages}")
    return 1 if not all(need.without for need in missing) else 0


def install(packages: list[str]) -> None:
    """Installs Debian packages; services that come with them are not started."""
    print(f"installing {' '.join(packages)}", flush=True)
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    # The system's PostgreSQL and Docker are not ours to start: we start our own, with their own data.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    wait = ("-o", "DPkg::Lock::Timeout=300")
    try:
        run(["apt-get", *wait, "update", "-qq"], env)
        run(["apt-get", *wait, "install", "-y", "-qq", "--no-install-recommends", *packages], env)
    finally:
        if ours:
            policy.unlink()


def run(argv: list[str], env: dict[str, str]) -> None:
    """Runs a command and shows what it said only when it failed."""
    done = subprocess.run(
        argv, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
        sys.exit(f"{' '.join(argv)} failed with exit code {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
