"""Spreads the suite over workers, and holds quick tests (`make test-quick`) to what they promise.

Servers that cost much are started once for all tests that use them: these tests run one after the other in one worker, and the
servers end with the last of them, not with the session. All other tests are spread file by file.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
from collections.abc import Generator, Sequence

import pytest
import structlog
from processor_time import OPTION, ProcessorTime
from xdist.scheduler import LoadGroupScheduling

from kaon_local.server import Server

# What starts something that only one worker shall have, and the name of the tests that share it. The longest come first.
SHARED = {
    "stack": "containers",
    "images": "containers",
    "system": "whole system",
    "shared_system": "small system",
    "engine": "engines",
    "spark": "engines",
    "hdfs": "engines",
    # Playwright keeps an event loop in the main thread: no asynchronous test runs before it has ended.
    "chromium": "browser",
    "world": "browser",
    "three_coordinators": "databases",
    "postgres": "databases",
}
# A test is quick unless it is marked with one of these.
NOT_QUICK = ("real", "e2e", "slow")
# Of processor time, in seconds, on a slow machine: so that the inner loop stays short. A hunt takes so many times more.
QUICK_CPU_SECONDS = 15.0 * int(os.environ.get("KAON_HUNT", "1"))

# A shell that starts tests in the background has them ignore Ctrl-C, and what they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Until all tests are collected: the collector would look through thousands of modules and tests again and again, and find nothing.
gc.disable()

# Logs of what runs in a test's process show no values of variables: to write out those of a coordinator takes minutes.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)

_running: list[pytest.Item] = []
# What the tests so far have started and share.
_started: dict[pytest.FixtureDef[object], None] = {}


@pytest.fixture(autouse=True)
def _own_logs() -> Generator[None]:
    """A command that a test executes in this process sets its logs; the next test's are as they were."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


class _ByFile(LoadGroupScheduling):
    """Tests that share something run in one worker, and so do those of one file."""

    def _split_scope(self, nodeid: str) -> str:
        group: str = super()._split_scope(nodeid)
        return nodeid.partition("::")[0] if group == nodeid else group


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Lets the collector work again, on what the tests make: what has been collected stays until the end."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
    gc.enable()
    # The process ends without a last look at all that it holds; pytest has looked for warnings before.
    atexit.register(gc.freeze)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _ByFile:
    """The scheduler hands out what is collected first first."""
    # The process that only hands out collects no tests.
    gc.enable()
    config.option.loadscopereorder = False
    return _ByFile(config, log)  # type: ignore[arg-type]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Names what each test shares, and puts the longest first: no worker is left alone with them at the end."""
    order = list(dict.fromkeys(SHARED.values()))
    ranks = {}
    for item in items:
        group = _shared(item)
        if group is not None:
            item.add_marker(pytest.mark.xdist_group(group))
        ranks[item] = len(order) if group is None else order.index(group)
    items.sort(key=ranks.__getitem__)


def _shared(item: pytest.Item) -> str | None:
    if not _is(item, ("real", "e2e")):
        return None
    shared = _shared_fixtures(item)
    return next((group for name, group in SHARED.items() if name in shared), None)


def _shared_fixtures(item: pytest.Item) -> dict[str, pytest.FixtureDef[object]]:
    """Those fixtures of SHARED that a test uses. Others of the same names, for one test or file alone, are not meant."""
    info = getattr(item, "_fixtureinfo", None)
    known = {} if info is None else info.name2fixturedefs
    found = {name: known[name][-1] for name in SHARED if name in known}
    return {name: fixture for name, fixture in found.items() if fixture.scope == "session"}


def _servers(item: pytest.Item) -> tuple[str | None, str]:
    """Which servers a test uses: the same fixture of another package starts others."""
    return _shared(item), item.nodeid.partition("tests/")[0]


def _is(item: pytest.Item, marks: Sequence[str]) -> bool:
    return any(item.get_closest_marker(mark) is not None for mark in marks)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tells `refuse` which test runs."""
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Ends servers behind the last test that shares them: idle ones take the processor from the tests that follow."""
    result = yield
    if _shared(item) is not None:
        _started.update(dict.fromkeys(_shared_fixtures(item).values()))
    if nextitem is not None and _servers(item) != _servers(nextitem):
        while _started:
            # Before its scope ends; whatever asks for it again gets a new one. What stands on it ends first.
            _started.popitem()[0].finish(item._request)  # type: ignore[attr-defined]
    return result


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fails a quick test that takes too much of the processor, the processes that it started and awaited included."""
    before = _processor_seconds()
    result = yield
    took = _processor_seconds() - before
    if took > QUICK_CPU_SECONDS and not _is(pyfuncitem, NOT_QUICK):
        pytest.fail(
            f"a quick test may take {QUICK_CPU_SECONDS:.0f} s of processor time; this took {took:.1f} s: "
            "make it cheaper, or mark it slow",
            pytrace=False,
        )
    return result


def _processor_seconds() -> float:
    return sum(os.times()[:4])


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds what tells where the processor's time goes."""
    parser.addoption(
        OPTION, type=int, default=0, metavar="N", help="list the N tests that take most of it"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Servers start for tests only that say so."""
    if most := config.getoption(OPTION):
        config.pluginmanager.register(ProcessorTime(most))
    start = Server.start

    def checked(server: Server) -> None:
        if _running and not _is(_running[-1], NOT_QUICK):
            pytest.fail(
                f"a quick test starts the server {server.name}: mark it real", pytrace=False
            )
        start(server)

    Server.start = checked  # type: ignore[method-assign]
