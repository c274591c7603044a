"""Scripts of containers with a read-only root write to what can be written: told from the files, without a container."""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kaon_local.paths import ROOT
from kaon_local.secure.containers import OVERRIDE

from .composed import services

IMAGES = ROOT / "deploy" / "images"
_HERE_DOCUMENT = re.compile(r"<< *(\w+)(.*\n)(?:.*\n)*?\1\n")
_ASSIGNED = re.compile(r"(?:^|[\s;])(\w+)=(\"[^\"\n]*\"|[^\s;\"(]+)")
# `> PLACE` and `>> PLACE`, but neither `>&2`, `->` nor a comparison.
_REDIRECTED = re.compile(r"(?<![-<>=&])>{1,2} ?(?![&=>(])(\"[^\"\n]+\"|[^\s;|)\"]+)")
# Programs that write to all of their arguments, or to the last one.
_MAKERS = re.compile(
    r"(?:^|[;&|{(]|\bthen|\bdo) *(mkdir|touch|tee|install|mv|cp|ln) ([^;|&\n]+)", re.MULTILINE
)


@functools.cache
def stages() -> dict[str, tuple[str, str]]:
    """Each stage of the images' recipes: what it stands on, and its lines."""
    parts = [
        part
        for name in ("Dockerfile", "servers.Dockerfile")
        for part in re.split(r"^(?=FROM )", (IMAGES / name).read_text(), flags=re.MULTILINE)[1:]
    ]
    found = {}
    for part in parts:
        base, name = re.findall(r"FROM (\S+) AS (\S+)", part)[0]
        found[name] = (base, part.replace("\\\n", ""))
    return found


def recipe(image: str) -> str:
    """The lines of an image's recipe; those of the stages that it stands on come first."""
    base, lines = stages()[image]
    return (recipe(base) if base in stages() else "") + lines


def started(service: dict[str, Any]) -> Iterator[str]:
    """The words of what a container starts: its program and its health check."""
    lines = recipe(service["image"].removeprefix("kaon/").removesuffix(":dev"))
    last = {
        kind: re.findall(rf"\b{kind}\b[^\n\[]*(\[.+\])", lines)[-1]
        for kind in ("ENTRYPOINT", "HEALTHCHECK")
    }
    yield from service.get("entrypoint") or json.loads(last["ENTRYPOINT"])
    check = service.get("healthcheck", {})
    if not check.get("disable"):
        yield from check.get("test") or json.loads(last["HEALTHCHECK"])


def scripts(service: dict[str, Any]) -> set[Path]:
    """Our scripts among them, and those that these call."""
    lines = recipe(service["image"].removeprefix("kaon/").removesuffix(":dev"))
    known = {}
    for source, name in re.findall(
        r"^COPY .*?(\S+\.sh) /usr/local/bin/(\S+)$", lines, re.MULTILINE
    ):
        known[name] = IMAGES / source.removeprefix("deploy/images/")
    found: set[Path] = set()
    words = set(started(service))
    while new := {known[word] for word in words & known.keys()} - found:
        found |= new
        words = {word for path in new for word in re.findall(r"[\w-]+", code(path))}
    return found


def code(script: Path) -> str:
    """A script without comments, and without what its here-documents and texts say."""
    text = re.sub(r"^\s*#.*$", "", script.read_text(), flags=re.MULTILINE)
    text = _HERE_DOCUMENT.sub(r"<<\2\n", text)
    # Signs within texts that are printed redirect nothing.
    return re.sub(r"'[^'\n]*'|\"[^\"\n]*[<>][^\"\n]*\"", "''", text)


def written(script: Path) -> set[str]:
    """The places to which a script writes; /tmp, where its shell keeps here-documents."""
    text = code(script)
    known: dict[str, str] = {}
    for name, value in _ASSIGNED.findall(text):
        known.setdefault(name, resolved(value, known))
    words = _REDIRECTED.findall(text)
    for program, rest in _MAKERS.findall(text):
        places = [word for word in rest.split() if not word.startswith(("-", ">"))]
        words += places if program in {"mkdir", "touch", "tee"} else places[-1:]
    here = {"/tmp"} if "<<" in text else set()
    return here | {resolved(word, known) for word in words}


def resolved(word: str, known: dict[str, str]) -> str:
    """A word of a script with the values of variables, or their defaults."""
    word = "".join(shlex.split(word)) if '"' in word else word
    word = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", word)
    return re.sub(r"\$\{?(\w+)\}?", lambda found: known.get(found[1], found[0]), word)


def writable(service: dict[str, Any]) -> list[str]:
    """Where a container with a read-only root writes; every one has memory at /dev/shm."""
    volumes = [each["target"] for each in service.get("volumes", []) if not each.get("read_only")]
    memory = [each.partition(":")[0] for each in service.get("tmpfs") or []]
    return ["/dev", *volumes, *memory]


def lost(service: dict[str, Any]) -> list[str]:
    """What a container's scripts write where its root cannot be written."""
    places = writable(service)
    return sorted(
        f"{script.name}: {place}"
        for script in scripts(service)
        for place in written(script)
        if not any(f"{place}/".startswith(f"{each}/") for each in places)
    )


@pytest.mark.parametrize("overrides", [(), (OVERRIDE,)], ids=["open", "closed"])
def test_scripts_of_containers_with_a_read_only_root_write_where_it_can_be_written(
    overrides: tuple[Path, ...],
) -> None:
    found = {name: each for name, each in services(*overrides).items() if each.get("read_only")}
    assert found
    assert {name: told for name, each in found.items() if (told := lost(each))} == {}


def test_every_container_of_a_closed_system_has_a_read_only_root() -> None:
    assert [name for name, each in services(OVERRIDE).items() if not each.get("read_only")] == []


def test_what_a_script_writes_is_found(tmp_path: Path) -> None:
    script = tmp_path / "some.sh"
    script.write_text(
        'mark=/opt/mark other=${PLACE:-/srv/it}\n# > /comment\necho "$life" > $mark\n'
        "cat > $other/conf << END\nx > /in/it\nEND\n"
        'mkdir -p "${other}/a" /b; install -m 600 /c /d\n'
        "free < /e; echo error >&2; [ 1 -ge 2 ] > /dev/null && tee /f\n"
    )
    assert written(script) == {
        *("/opt/mark", "/srv/it/conf", "/srv/it/a", "/b", "/d", "/dev/null", "/f", "/tmp")
    }


def test_a_health_check_that_writes_to_the_root_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the mark of `stay-healthy` was one, in a registry without /tmp."""
    registry = services(OVERRIDE)["registry-push"]
    assert {path.name for path in scripts(registry)} == {
        *("stay-healthy.sh", "registry.sh", "healthcheck.sh")
    }
    before = code

    def moved(script: Path) -> str:
        return before(script).replace("/dev/shm/healthy", "/tmp/healthy")

    monkeypatch.setattr(f"{__name__}.code", moved)
    assert lost(registry) == ["stay-healthy.sh: /tmp/healthy"]
