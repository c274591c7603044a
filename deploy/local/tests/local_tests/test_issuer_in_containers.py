"""The issuer's container has the package where it finds a checkout's root, as it does outside of containers."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from kaon_local import paths
from kaon_local.paths import ROOT
from kaon_local.secure.containers import OVERRIDE

from .composed import services


def test_the_issuers_container_has_the_package_at_its_place_in_a_checkout() -> None:
    issuer = services(OVERRIDE)["issuer"]
    package = Path(paths.__file__).parent
    targets = [each["target"] for each in issuer["volumes"] if each["source"] == str(package)]
    assert len(targets) == 1
    assert targets[0].endswith(f"/{package.relative_to(ROOT)}")
    assert issuer["environment"]["PYTHONPATH"] == str(PurePosixPath(targets[0]).parent)
