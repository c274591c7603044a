"""A server in a container that another step uses, and that ends then: Argo's daemon-nginx.yaml (needs a Docker engine)."""

from __future__ import annotations

from urllib.request import urlopen

from kaon import Workflow, steps


def ask(address: str) -> dict[str, bool]:
    """Fetch the server's page."""
    with urlopen(f"http://{address}/index.html", timeout=10) as answer:
        return {"welcomed": b"Welcome" in answer.read()}


# Containers of steps run as the runner's user, so this one listens on a port that any user may have.
nginx = steps.docker(
    "nginx",
    "nginxinc/nginx-unprivileged:1.29-alpine",
    serves=True,
    publish={"address": 8080},
    ready=["wget", "-qO", "/dev/null", "http://127.0.0.1:8080"],
)
client = steps.python("nginx-client", ask, address=nginx["address"], outputs={"welcomed": bool})

workflow = Workflow("daemon-nginx", nginx >> client, outputs={"welcomed": client["welcomed"]})

EXPECTED = {
    "steps": {"nginx": "SUCCEEDED", "nginx-client": "SUCCEEDED"},
    "outputs": {"welcomed": True},
    "logs": {"nginx": '"GET /index.html HTTP/1.1" 200'},
}
