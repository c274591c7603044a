"""Images of containers."""

from __future__ import annotations

import docker
from docker.errors import APIError, ImageNotFound

from kaon.step import StepContext
from kaon_runner.children.faults import EngineError


def ensure(client: docker.DockerClient, context: StepContext, image: str) -> None:
    """Pull an image as the step's setting "pull" says.

    Raises:
        EngineError: It is not there and must not, or cannot, be pulled.
    """
    policy = context.config.get("pull", "missing")
    try:
        if policy != "always":
            client.images.get(image)
            return
    except ImageNotFound:
        if policy == "never":
            raise EngineError(
                f'image {image} is not on this machine, and "pull" is "never"'
            ) from None
    context.progress(0.0, f"pulling {image}")
    try:
        client.images.pull(image)
    except APIError as error:
        raise EngineError(f"image {image} cannot be pulled: {error.explanation}") from error
