"""A run tells the channels that its workflow names, by way of everything that is between."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest

from kaon import load_workflow
from kaon.client import Client, Endpoints
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

FLOW = """
from kaon import Retry, Workflow, approval, notify, steps

broken = steps.shell("broken", argv=["false"], retry=Retry(max_attempts=2, backoff="1ms"))
workflow = Workflow(
    "nightly",
    approval("ask") >> broken,
    notify=[
        notify("failed", "retry", "waiting", to="ops"),
        notify("failed", to="ops"),
        notify("succeeded", to="ops"),
    ],
)
"""


@pytest.fixture
def hook() -> Iterator[tuple[str, Queue[dict[str, Any]]]]:
    """The address of a web server, and what is posted to it."""
    heard: Queue[dict[str, Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            heard.put(json.loads(body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", heard
        server.shutdown()
        thread.join()


def test_a_run_tells_its_channels(
    tmp_path: Path, hook: tuple[str, Queue[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, heard = hook
    (tmp_path / "key").write_text(base64.b64encode(b"k" * 32).decode())
    (tmp_path / "channels.toml").write_text(
        f'console = "http://localhost:7072"\n[channels.ops]\nkind = "webhook"\nurl = "{url}"\n'
        f'key_file = "{tmp_path}/key"\n'
    )
    monkeypatch.setenv("KAON_NOTIFICATIONS", str(tmp_path / "channels.toml"))
    (tmp_path / "flow").mkdir()
    (tmp_path / "flow" / "workflow.py").write_text(FLOW)
    workflow = load_workflow(tmp_path / "flow" / "workflow.py")
    settings = EmbeddedSettings(state=tmp_path / "state", slots=1, step_types=("shell",))
    with EmbeddedSystem(settings) as system, Client(Endpoints(server=system.address)) as client:
        run_id = client.submit(workflow, {}).run.run_id
        waiting = heard.get(timeout=60)
        client.answer(run_id, "ask", approved=True)
        # Several are delivered at once.
        both = [heard.get(timeout=60), heard.get(timeout=60)]
        failed, retry = sorted(both, key=lambda each: str(each["occasion"]))
    assert heard.empty()
    assert [each["occasion"] for each in (waiting, retry, failed)] == ["waiting", "retry", "failed"]
    assert [each["path"] for each in (waiting, retry, failed)] == ["ask", "broken", ""]
    assert {each["run_id"] for each in (waiting, retry, failed)} == {run_id}
    assert (failed["status"], failed["workflow"]) == ("FAILED", "nightly")
    assert "exit code 1" in failed["error"]
    assert failed["link"] == f"http://localhost:7072/runs/{run_id}"
