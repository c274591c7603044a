"""What the tests of the system in containers share."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest
from stack import Stack
from support import Api


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    """The API behind the gateway."""
    api = Api(stack.api)
    yield api
    api.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What the containers said last belongs to a failure: they are gone when somebody reads of it."""
    report = yield
    stacks = [each for each in getattr(item, "funcargs", {}).values() if isinstance(each, Stack)]
    if report.failed:
        report.sections += [("containers", stack.last_words()) for stack in stacks]
    return report
