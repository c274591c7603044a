"""The version is written once, and every package of the repository is built with it and with the licence."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from kaon_wire.version import VERSION

ROOT = Path(__file__).resolve().parents[4]
PROJECTS = sorted(
    path.parent
    for pattern in ("packages/*", "sdk", "services/*", "deploy/local")
    for path in ROOT.glob(f"{pattern}/pyproject.toml")
)


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: str(project.relative_to(ROOT)))
def test_a_package_is_built_with_the_one_version_and_the_licence(project: Path) -> None:
    metadata = ProjectMetadata(str(project), PluginManager())

    assert metadata.version == VERSION
    assert metadata.core.license_expression == "Apache-2.0"
    assert metadata.core.license_files == ["LICENSE"]
    assert (project / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_the_projects_are_found() -> None:
    assert len(PROJECTS) == 11


def test_what_is_installed_has_the_version_of_the_file() -> None:
    assert version("kaon") == version("kaon-coordinator") == VERSION
