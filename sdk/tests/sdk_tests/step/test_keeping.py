"""What a step in a process of its own returns as a path is kept, under its name, when the process has ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kaon.step.keeping import keep
from kaon.step.outputs import InvalidOutputs


@pytest.fixture
def step(tmp_path: Path) -> Path:
    for name in ("artifacts", "work"):
        (tmp_path / "step" / name).mkdir(parents=True)
    return tmp_path / "step"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    made = tmp_path / "elsewhere" / "model.d"
    (made / "deep").mkdir(parents=True)
    (made / "deep" / "w").write_text("weights")
    return made


def given(step: Path, output: str = "model") -> Path:
    """What the runner finds for the output, by a link that holds wherever the directory is mounted."""
    (entry,) = (step / "artifacts").iterdir()
    assert entry.name == output
    told = os.readlink(entry)
    assert not os.path.isabs(told)
    return Path(os.path.normpath(entry.parent / told))


def test_a_file_is_kept_under_its_name(step: Path, source: Path) -> None:
    keep(source / "deep" / "w", step, "model")
    (source / "deep" / "w").unlink()
    assert given(step).name == "w"
    assert given(step).read_text() == "weights"


def test_a_link_that_is_returned_gives_the_name_and_what_it_leads_to_the_content(
    step: Path, source: Path
) -> None:
    (source / "model.bin").symlink_to("deep/w")
    keep(source / "model.bin", step, "model")
    assert given(step).name == "model.bin"
    assert not given(step).is_symlink()
    assert given(step).read_text() == "weights"


def test_links_inside_of_a_directory_stay_links(step: Path, source: Path) -> None:
    (source / "latest").symlink_to("deep")
    (source / "absolute").symlink_to(source / "deep" / "w")
    (source / "out").symlink_to("/etc/hostname")
    (source / "broken").symlink_to("nothing")
    keep(source, step, "model")
    kept = given(step)
    told = {name: os.readlink(kept / name) for name in ("latest", "absolute", "out", "broken")}
    # The runner refuses the last two, as it does when a warm worker returns such a directory.
    assert told == {
        "latest": "deep",
        "absolute": "deep/w",
        "out": "/etc/hostname",
        "broken": "nothing",
    }
    assert (kept / "latest" / "w").read_text() == "weights"


def test_what_is_returned_counts_and_not_what_lies_there(step: Path, source: Path) -> None:
    (step / "artifacts" / "model.old").mkdir()
    (step / "artifacts" / "model").write_text("old")
    keep(source, step, "model")
    assert (given(step) / "deep" / "w").read_text() == "weights"


@pytest.mark.parametrize("entry", ["model", "model.tar.gz"])
def test_what_the_step_wrote_to_its_place_stays_there(step: Path, entry: str) -> None:
    path = step / "artifacts" / entry
    path.write_text("x")
    keep(path, step, "model")
    assert [each.name for each in path.parent.iterdir()] == [entry]
    assert not path.is_symlink()


@pytest.mark.parametrize("inside", [False, True])
def test_what_is_neither_a_file_nor_a_directory_is_named_and_not_read(
    step: Path, source: Path, inside: bool
) -> None:
    os.mkfifo(source / "pipe")
    with pytest.raises(
        InvalidOutputs, match=r"output model: .*pipe is neither a file nor a directory"
    ):
        keep(source if inside else source / "pipe", step, "model")


def test_what_is_not_there_is_named(step: Path, source: Path) -> None:
    for name in ("absent", "circle"):
        (source / "circle").is_symlink() or (source / "circle").symlink_to("circle")
        with pytest.raises(InvalidOutputs, match=f"output model: there is no file .*{name}"):
            keep(source / name, step, "model")
