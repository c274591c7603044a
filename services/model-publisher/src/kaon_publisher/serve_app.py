# mypy: ignore-errors
"""Serves one model over HTTP. Runs in the model's image, with nothing but the standard library.

GET /health, GET /metadata, POST /predict (a JSON object in, a JSON object out). With the argument `ask` it sends the JSON object on
its standard input to the server in the same container and prints the answer.
"""

import importlib
import json
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODEL_DIR = "/kaon/model"
PORT = 8080
LARGEST_REQUEST = 1 << 20


def load(directory):
    """Return the metadata and the model in a directory."""
    with open(f"{directory}/kaon-model.json", encoding="utf-8") as file:
        metadata = json.load(file)
    module, _, name = metadata["entry"].partition(":")
    sys.path.insert(0, directory)
    return metadata, getattr(importlib.import_module(module), name)(directory)


class Handler(BaseHTTPRequestHandler):
    """Answers the requests to one model."""

    model = None
    metadata = None

    def do_GET(self):
        """Answer /health and /metadata."""
        if self.path == "/health":
            self.answer(200, {"status": "ok"})
        elif self.path == "/metadata":
            self.answer(200, self.metadata)
        else:
            self.answer(404, {"error": f"no such path: {self.path}"})

    def do_POST(self):
        """Answer /predict with the prediction of the model."""
        if self.path != "/predict":
            self.answer(404, {"error": f"no such path: {self.path}"})
            return
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST_REQUEST:
            self.answer(413, {"error": f"a request has at most {LARGEST_REQUEST} bytes"})
            return
        try:
            request = json.loads(self.rfile.read(length))
        except ValueError as error:
            self.answer(400, {"error": f"not JSON: {error}"})
            return
        try:
            self.answer(200, self.model.predict(request))
        except (KeyError, ValueError, TypeError) as error:
            self.answer(422, {"error": f"{type(error).__name__}: {error}"})

    def answer(self, status, value):
        """Send a JSON answer."""
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def serve():
    """Load the model and serve it until the process ends."""
    Handler.metadata, Handler.model = load(MODEL_DIR)
    print("serving", flush=True)
    ThreadingHTTPServer(("", PORT), Handler).serve_forever()


def ask():
    """Send the JSON object on standard input to the server and print its answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/predict", data=sys.stdin.buffer.read()
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        sys.stdout.write(answer.read().decode())


if __name__ == "__main__":
    if sys.argv[1:2] == ["ask"]:
        ask()
    else:
        serve()
