"""A server that other steps use, and that ends when they have: Argo's daemon-step.yaml."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

from kaon import Workflow, steps
from kaon.step import StepContext


def database(context: StepContext) -> None:
    """Keep what is posted, and serve how much that is."""
    rows: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            rows.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(204)
            self.end_headers()

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(len(rows)).encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        context.serving(url=f"http://127.0.0.1:{server.server_port}")
        context.wait_cancelled()
        server.shutdown()


def write(url: str) -> dict[str, int]:
    """Post three rows."""
    for row in ("a", "b", "c"):
        urlopen(Request(url, data=row.encode(), method="POST"), timeout=10).close()
    return {"written": 3}


def count(url: str) -> dict[str, int]:
    """Ask how many rows there are."""
    with urlopen(url, timeout=10) as answer:
        return {"rows": json.loads(answer.read())}


db = steps.python("influx", database, serves=True, outputs={"url": str})
init = steps.python("init-database", write, url=db["url"], outputs={"written": int})
consumer = steps.python("consumer", count, url=db["url"], outputs={"rows": int})

workflow = Workflow("daemon-step", db >> init >> consumer, outputs={"rows": consumer["rows"]})

EXPECTED = {
    "steps": {"influx": "SUCCEEDED", "init-database": "SUCCEEDED", "consumer": "SUCCEEDED"},
    "outputs": {"rows": 3},
}
