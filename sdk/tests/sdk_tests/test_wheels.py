"""The wheels of `make wheels`, installed into empty environments."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from kaon_wire.version import VERSION

ROOT = Path(__file__).resolve().parents[3]
UV = Path(sys.executable).with_name("uv")
TOUR = ROOT / "examples" / "tour" / "workflow.py"
PROJECTS = [
    path.parent for path in ROOT.glob("*/*/pyproject.toml") if path.parts[-3] != "deploy"
] + [ROOT / "sdk"]
# What the client may take on a disk, with all that it needs.
MOST_MEGABYTES = 60

# Tests of one group share the wheels.
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheels")]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the wheels; the installation that runs this test is left alone."""
    directory = tmp_path_factory.mktemp("wheels")
    # As if everything that the target needs was there and new: it is, or this test would not run.
    told = ("make", "--no-print-directory", "--old-file=setup", "wheels", f"DIST={directory}")
    subprocess.run(told, cwd=ROOT, check=True, capture_output=True, timeout=200)
    return directory


class Environment:
    """An environment with nothing in it but what a user installs."""

    def __init__(self, directory: Path, wheels: Path) -> None:
        self.directory = directory
        self._wheels = wheels
        self._do(UV, "venv", "--quiet", "--python", sys.executable, str(directory))

    def install(self, what: str, *options: str) -> None:
        # The packages of others come from the cache, or from the machine's index.
        self._do(
            *(UV, "pip", "install", "--quiet", "--python", str(self.directory)),
            *("--find-links", str(self._wheels), *options, what),
        )

    def kaon(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self._do(self.directory / "bin" / "kaon", *words, check=False)

    @property
    def packages(self) -> Path:
        (found,) = self.directory.glob("lib/python3*/site-packages")
        return found

    def _do(self, *words: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            words,
            check=False,
            capture_output=True,
            text=True,
            timeout=200,
            env=environment,
            cwd=self.directory.parent,
        )
        assert done.returncode == 0 or not check, done.stderr
        return done


def test_there_is_one_wheel_of_each_package_and_they_ask_for_each_other_in_this_version(
    wheels: Path,
) -> None:
    found = sorted(wheels.glob("*.whl"))
    assert [wheel.name.split("-")[1] for wheel in found] == [VERSION] * len(PROJECTS)
    for wheel in found:
        with zipfile.ZipFile(wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
            lines = archive.read(name).decode().splitlines()
        texts = (line.split(": ")[1] for line in lines if line.startswith("Requires-Dist: kaon"))
        asked = [Requirement(text) for text in texts]
        pinned = {each.name for each in asked if str(each.specifier) == f"=={VERSION}"}
        assert {each.name for each in asked} == pinned, wheel.name


def test_the_client_is_small_and_says_what_the_rest_needs(wheels: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "client", wheels)
    # As pip does: what is compiled counts, too.
    environment.install(f"kaon=={VERSION}", "--compile-bytecode")
    size = sum(path.stat().st_size for path in environment.packages.rglob("*") if path.is_file())
    assert size <= MOST_MEGABYTES * 1_000_000

    assert environment.kaon("--version").stdout == f"kaon {VERSION}\n"
    checked = environment.kaon("validate", str(TOUR))
    assert checked.returncode == 0, checked.stderr
    refused = environment.kaon("run", str(TOUR))
    assert refused.returncode == 1
    assert refused.stderr.endswith(f"pip install 'kaon[run]=={VERSION}'\n")


def test_with_its_extras_the_client_runs_a_workflow(wheels: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "run", wheels)
    environment.install(f"kaon[run,s3]=={VERSION}")
    done = environment.kaon("run", str(TOUR), "-p", "count=1")
    assert done.returncode == 0, done.stderr
    assert "run SUCCEEDED" in done.stdout
