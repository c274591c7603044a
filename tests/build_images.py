"""Build the images that the tests in containers start, where a Docker engine answers: `python tests/build_images.py`."""

from __future__ import annotations

import os

import docker
from stack import build

from kaon_local.docker_engine import DockerConfig, engine_answers
from kaon_local.system import docker_state


def main() -> None:
    """Build them; without an engine, and with a system that runs already, nothing is needed."""
    url = DockerConfig(state=docker_state()).url
    if os.environ.get("KAON_STACK") or not engine_answers(url):
        return
    client = docker.DockerClient(base_url=url, timeout=300)
    try:
        build(client)
    finally:
        client.close()


if __name__ == "__main__":
    main()
