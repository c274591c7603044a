"""What every image of docker-compose.yml has."""

from __future__ import annotations

import docker
import pytest
from stack import TAG, Stack

pytestmark = pytest.mark.real

SERVICES = (
    *("kafka", "postgres", "registry", "gateway", "hdfs", "sql-server"),
    *("coordinator", "model-publisher", "consumer", "step-runner-full"),
)


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_not_root_has_a_health_check_and_says_what_it_is(
    stack: Stack, name: str
) -> None:
    client = docker.DockerClient(timeout=60)
    config = client.images.get(f"kaon/{name}:{TAG}").attrs["Config"]
    client.close()
    assert config["User"] not in {"", "0", "root"}
    assert config["Healthcheck"]["Test"]
    assert config["Labels"]["org.opencontainers.image.title"].startswith("kaon ")
    assert config["Labels"]["org.opencontainers.image.version"] == TAG
    assert not [each for each in config["Env"] if "PASSWORD" in each or "SECRET" in each]
