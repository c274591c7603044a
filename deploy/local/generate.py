"""Generate the Python modules and type stubs of the protocol: proto/ -> packages/wire/src/kaonapi.

Run by `make generate` with the environment's Python. Output is made beside and compared, so a file that did
not change keeps its time, and whoever imports the package meanwhile never sees half of it.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "proto"
TARGET = ROOT / "packages" / "wire" / "src"


def compile_protos(out: Path) -> None:
    """Run protoc with the typed stubs of mypy-protobuf; raises CalledProcessError after protoc's own message."""
    bin_dir = Path(sys.executable).parent
    protos = sorted(str(p.relative_to(SOURCE)) for p in SOURCE.rglob("*.proto"))
    subprocess.run(
        [
            *(sys.executable, "-m", "grpc_tools.protoc", f"-I{SOURCE}"),
            *(
                f"--plugin={name}={bin_dir / name}"
                for name in ("protoc-gen-mypy", "protoc-gen-mypy_grpc")
            ),
            *(f"--{kind}_out={out}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
            *protos,
        ],
        check=True,
    )


def mark_packages(package: Path) -> None:
    """Make every directory a regular, typed package."""
    (package / "py.typed").touch()
    for directory in [package, *(p for p in package.rglob("*") if p.is_dir())]:
        (directory / "__init__.py").touch()


def publish(built: Path, target: Path) -> None:
    """Move new and changed files into place one by one and delete what is no longer generated."""
    wanted = {p.relative_to(built) for p in built.rglob("*") if p.is_file()}
    for name in sorted(wanted):
        destination = target / name
        if destination.exists() and destination.read_bytes() == (built / name).read_bytes():
            continue
        destination.parent.mkdir(parents=True, exist_ok=True)
        scratch = destination.with_suffix(destination.suffix + ".new")
        shutil.copyfile(built / name, scratch)
        scratch.replace(destination)
    for old in target.rglob("*"):
        if (
            old.is_file()
            and "__pycache__" not in old.parts
            and old.relative_to(target) not in wanted
        ):
            old.unlink()


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        compile_protos(out)
        mark_packages(out / "kaonapi")
        publish(out / "kaonapi", TARGET / "kaonapi")


if __name__ == "__main__":
    main()
