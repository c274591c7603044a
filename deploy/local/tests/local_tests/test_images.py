"""The recipes of images: which packages they take, and what compose is told."""

from __future__ import annotations

import importlib.util
import re
import stat
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kaon_local import compose, images
from kaon_local.paths import ROOT

LOCK = """\
alpha==1.0 \\
    --hash=sha256:aa
    # via -r requirements.in
beta-x==2.0 ; python_version < '3.12' \\
    --hash=sha256:bb
    # via
    #   alpha
    #   gamma
beta-x==3.0 ; python_version >= '3.12' \\
    --hash=sha256:cc
    # via
    #   alpha
delta[extra]==4.0 \\
    --hash=sha256:dd
    # via beta-x
epsilon==5.0 \\
    --hash=sha256:ee
    # via gamma
"""


@pytest.fixture(scope="module")
def subset() -> ModuleType:
    """The program of the image builds, which is no package."""
    spec = importlib.util.spec_from_file_location(
        "subset", ROOT / "deploy" / "images" / "subset.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["subset"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_subset_has_what_its_roots_need_and_nothing_else(subset: ModuleType) -> None:
    lock = subset.read_lock(LOCK)
    assert subset.closure(lock, ["Alpha"]) == ["alpha", "beta-x", "delta"]
    assert subset.closure(lock, ["epsilon"]) == ["epsilon"]
    assert "2.0" in lock["beta-x"].text
    assert "3.0" in lock["beta-x"].text, "one version for each Python"


def test_a_root_that_is_not_locked_is_an_error(subset: ModuleType) -> None:
    with pytest.raises(KeyError, match="zeta"):
        subset.closure(subset.read_lock(LOCK), ["zeta"])


@pytest.mark.parametrize(
    "words",
    [
        ["services/coordinator"],
        ["services/model-publisher"],
        ["services/console"],
        ["services/step-runner[hive,r,spark]"],
    ],
)
def test_everything_that_a_service_asks_for_is_locked(subset: ModuleType, words: list[str]) -> None:
    roots, ours = subset.roots_of(words, ROOT)
    lock = subset.read_lock((ROOT / "requirements.lock").read_text())
    assert set(map(subset.normal, roots)) <= set(subset.closure(lock, roots))
    assert "packages/wire" in ours


def test_what_another_image_has_already_is_left_out(
    subset: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def packages(*words: str) -> set[str]:
        monkeypatch.setattr(sys, "argv", ["subset.py", *words])
        subset.main()
        return set(subset.read_lock(capsys.readouterr().out))

    more, fewer = "services/step-runner[hive,r,spark]", "services/step-runner[hive,spark]"
    added = packages(more, "+matplotlib", "--without", fewer)
    assert {"rpy2", "matplotlib"} <= added
    assert not added & packages(fewer)
    assert added | packages(fewer) == packages(more, "+matplotlib")


def test_java_is_installed_by_the_same_words_in_both_recipes_so_it_is_one_layer() -> None:
    recipes = [
        (ROOT / "deploy" / "images" / name).read_text()
        for name in ("Dockerfile", "local.Dockerfile")
    ]
    one, other = (
        re.findall(r"^FROM \S+ AS jre\n.+?openjdk\S+$", text, re.MULTILINE | re.DOTALL)
        for text in recipes
    )
    assert one == other
    assert len(one) == 1


@pytest.mark.parametrize("name", images.SERVERS)
def test_a_server_stands_on_a_pinned_public_image_that_an_argument_replaces(name: str) -> None:
    recipe = (ROOT / "deploy" / "images" / "servers.Dockerfile").read_text()
    argument = images.base_argument(name)
    assert re.search(rf"^ARG {argument}=\S+:\S+$", recipe, re.MULTILINE), "it has a tag"
    assert f"\nFROM ${{{argument}}} AS {name}\n" in recipe
    assert f"`{argument}`" in (ROOT / "deploy" / "images" / "README.md").read_text()


def test_settings_for_compose_are_written_once_and_not_for_others_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAON_BASES", "local")
    path = tmp_path / ".env"
    path.write_text("KAON_DATA=/mine")
    assert "KAON_POSTGRES_PASSWORD" in compose.write_settings(path)
    text = path.read_text()
    assert text.startswith("KAON_DATA=/mine\n")
    assert compose.write_settings(path) == []
    assert path.read_text() == text


def test_a_new_file_of_settings_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAON_BASES", "local")
    compose.write_settings(tmp_path / ".env")
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
