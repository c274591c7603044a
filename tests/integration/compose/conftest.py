"""What the tests of the system in containers share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from stack import Stack
from support import Api


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    """The API behind the gateway."""
    api = Api(stack.api)
    yield api
    api.close()
