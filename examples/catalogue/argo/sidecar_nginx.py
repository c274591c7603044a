"""A web server that lives as long as the step beside it: Argo's sidecar-nginx.yaml (needs a Docker engine)."""

from __future__ import annotations

from kaon import Workflow, sidecar, steps

nginx = sidecar(
    "nginx", "nginx:1.29-alpine", ready=["wget", "-qO", "/dev/null", "http://127.0.0.1"]
)
fetch = steps.docker(
    "fetch",
    "nginx:1.29-alpine",
    argv=["wget", "-qO", "/kaon/step/artifacts/page.html", "http://127.0.0.1"],
    sidecars=[nginx],
    outputs={"page": "text"},
)

workflow = Workflow("sidecar-nginx", fetch, outputs={"page": fetch["page"]})

EXPECTED = {"steps": {"fetch": "SUCCEEDED"}}
