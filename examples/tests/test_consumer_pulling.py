from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import json
import os
import ssl
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pulling
import pytest
import trustme


def blob(layout: Path, data: bytes) -> str:
    value = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs" / "sha256" / value).write_bytes(data)
    return f"sha256:{value}"


def entry(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(f"kaon/model/{name}")
    made.type, made.linkname = kind, link
    return made


def image(directory: Path, *entries: tarfile.TarInfo) -> str:
    """The digest of an image with these entries and a file of one byte, `checkpoint-100/w`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for each in entries:
            tar.addfile(each)
        weights = entry("checkpoint-100/w")
        weights.size = 1
        tar.addfile(weights, io.BytesIO(b"w"))
    layer = blob(directory, buffer.getvalue())
    return blob(directory, json.dumps({"layers": [{"digest": layer}]}).encode())


def unpacked(directory: Path, *entries: tarfile.TarInfo) -> Path:
    """What the consumer makes of `image`."""
    return pulling.unpack(
        pulling.Layout(directory), image(directory, *entries), directory / "state"
    )


def link(name: str, target: str) -> tarfile.TarInfo:
    return entry(name, kind=tarfile.SYMTYPE, link=target)


def test_a_link_that_stays_inside_is_kept(tmp_path: Path) -> None:
    model = unpacked(tmp_path, link("latest", "checkpoint-100"))
    assert (model / "latest").is_symlink()
    assert (model / "latest" / "w").read_bytes() == b"w"


@pytest.mark.parametrize(
    "bad",
    [
        (link("out", "../../../../x"),),
        (link("out", "/etc/passwd"),),
        (link("broken", "nothing"),),
        (link("a", "b"), link("b", "a")),
        (link("checkpoint-100", "/tmp"),),
        (link("d", "checkpoint-100"), link("d/inner", "w")),
        (entry("pipe", kind=tarfile.FIFOTYPE),),
        (entry("device", kind=tarfile.CHRTYPE),),
        (entry("hard", kind=tarfile.LNKTYPE, link="/etc/passwd"),),
        (entry("sparse", kind=tarfile.GNUTYPE_SPARSE),),
        (entry("../../../x"),),
        (entry("checkpoint-100/w"),),
    ],
)
def test_whatever_leads_out_or_is_no_file_is_refused(
    tmp_path: Path, bad: tuple[tarfile.TarInfo, ...]
) -> None:
    with pytest.raises(pulling.PullError):
        unpacked(tmp_path, *bad)
    assert {path.suffix for path in (tmp_path / "state").iterdir()} <= {".partial", ".lock"}


def test_a_model_is_on_the_disk_before_its_directory_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[str] = set()
    sync, rename = os.fsync, Path.rename

    def spy(descriptor: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    def move(source: Path, target: Path) -> Path:
        written = {str(path) for path in (source, *source.rglob("*")) if not path.is_symlink()}
        assert written <= synced
        return rename(source, target)

    monkeypatch.setattr(os, "fsync", spy)
    monkeypatch.setattr(Path, "rename", move)
    unpacked(tmp_path, link("latest", "checkpoint-100"))
    assert str(tmp_path / "state") in synced


def test_consumers_that_fetch_the_same_image_at_once_do_not_disturb_each_other(
    tmp_path: Path,
) -> None:
    digest, state = image(tmp_path), tmp_path / "state"
    target = state / digest.removeprefix("sha256:")

    class Watched(pulling.Layout):
        def blob(self, digest: str) -> bytes:
            with target.with_suffix(".lock").open("w") as lock, pytest.raises(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return super().blob(digest)

    left = target.with_suffix(".partial") / "kaon" / "left by one that died"
    left.mkdir(parents=True)
    with ThreadPoolExecutor(4) as pool:
        (model,) = set(
            pool.map(lambda _: pulling.unpack(Watched(tmp_path), digest, state), range(4))
        )
    assert [str(path.relative_to(model)) for path in sorted(model.rglob("*"))] == [
        "checkpoint-100",
        "checkpoint-100/w",
    ]
    assert not list(state.glob("*.partial"))


@pytest.mark.parametrize(("bound", "most"), [("MOST_ENTRIES", 1), ("MOST_BYTES", 200)])
def test_an_image_has_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(pulling, bound, most)
    with pytest.raises(pulling.PullError, match="more than"):
        unpacked(tmp_path, entry("a"), entry("b"))


@pytest.mark.parametrize(
    "manifest", [b"[" * 100_000, b"{}", b'{"layers": [{"digest": "sha256:../../x"}]}']
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: bytes) -> None:
    digest = blob(tmp_path, manifest)
    with pytest.raises(pulling.PullError, match=r"manifest cannot be read|not a digest"):
        pulling.unpack(pulling.Layout(tmp_path), digest, tmp_path / "state")


@contextmanager
def closed_registry(layout: Path, place: Path, account: str) -> Iterator[str]:
    """A registry that shows a layout over TLS, to one account; its authority is `ca.pem` in `place`."""
    shown = f"Basic {base64.b64encode(account.encode()).decode()}"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            file = layout / "blobs" / "sha256" / self.path.rpartition(":")[2]
            known = self.headers.get("Authorization") == shown
            self.send_response(200 if known and self.path.startswith("/v2/shop/") else 401)
            self.end_headers()
            if known:
                self.wfile.write(file.read_bytes())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    authority = trustme.CA()
    authority.cert_pem.write_to_path(place / "ca.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_an_image_is_pulled_over_tls_with_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = image(tmp_path)
    (tmp_path / "password").write_text("right\n")
    with closed_registry(tmp_path, tmp_path, "consumer:right") as address:
        monkeypatch.setenv("KAON_REGISTRY_CA", str(tmp_path / "ca.pem"))
        monkeypatch.setenv("KAON_REGISTRY_USER", "consumer")
        monkeypatch.setenv("KAON_REGISTRY_PASSWORD_FILE", str(tmp_path / "password"))
        model = pulling.unpack(pulling.Registry(address, "shop"), digest, tmp_path / "state")
        assert (model / "checkpoint-100" / "w").read_bytes() == b"w"
        for name, wrong in (("KAON_REGISTRY_CA", "system"), ("KAON_REGISTRY_USER", "other")):
            with monkeypatch.context() as patch:
                patch.setenv(name, wrong)
                source = pulling.Registry(address, "shop")
            with pytest.raises(pulling.PullError):
                pulling.unpack(source, digest, tmp_path / wrong)
    monkeypatch.delenv("KAON_REGISTRY_CA")
    with pytest.raises(pulling.PullError, match="over TLS only"):
        pulling.Registry(address, "shop")
