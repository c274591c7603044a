"""The demo: the recommendations workflow on a whole system, a consumer that picks its model up, and a report."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from kaon_console.settings import BUILT_PAGES
from kaon_local.fetch import movielens
from kaon_local.paths import ROOT
from kaon_local.ports import HOST, check_free, listening
from kaon_local.secure.closed import Closed
from kaon_local.secure.people import ADMINISTRATOR, PEOPLE, USUAL
from kaon_local.system import System, SystemConfig, closed_in, console_link

STATE = ROOT / ".kaon"
EXAMPLES = ROOT / "examples"
# Whom the consumer recommends something to.
REQUEST = {"user": 42, "n": 5}
_TYPES = {
    "markdown": "report.md",
    "html": "report.html",
    "error_plot": "error.png",
    "convergence_plot": "convergence.png",
}


def run(*, runners: int, docker: bool | None, params: Sequence[str], console_port: int) -> int:
    """Runs the demo and stops everything; returns the exit code."""
    began = time.monotonic()
    state = _fresh(STATE / "demo")
    print(f"Kaon's demo; logs and data under {_shown(state)}\n")
    with _interruptible():
        config = SystemConfig(
            state=state,
            runners=runners,
            docker=docker,
            console=_has_page(),
            # A system that runs already has its own.
            console_port=0 if listening(console_port) else console_port,
        )
        system = System(config, report=_say)
        try:
            system.start()
            code = _workflow(system, state, params)
        finally:
            print()
            system.stop()
    print(f"\n{'Done' if code == 0 else 'FAILED'} after {time.monotonic() - began:.0f} s.")
    return code


def develop(
    *,
    runners: int,
    docker: bool | None,
    api_port: int,
    publisher_port: int,
    console_port: int,
    view_port: int,
    issuer_port: int = 0,
) -> int:
    """Keeps a system running until Ctrl-C; what it holds is kept for the next time.

    With a port for an issuer it is closed: everybody authenticates, and every line between clients and services is encrypted.
    """
    fixed = {
        "coordinator": api_port,
        "publisher": publisher_port,
        "console": console_port,
        "view": view_port,
        "issuer": issuer_port,
    }
    check_free({name: port for name, port in fixed.items() if port})
    state = _dev_state(secure=issuer_port > 0)
    config = SystemConfig(
        state=state,
        runners=runners,
        docker=docker,
        api_port=api_port,
        publisher_port=publisher_port,
        console=_has_page(),
        console_port=console_port,
        view_port=view_port,
        closed=closed_in(
            state, environment_file=STATE / "dev" / "secure.env", issuer_port=issuer_port
        )
        if issuer_port
        else None,
    )
    with _interruptible():
        system = System(config, report=_say)
        try:
            system.start()
            print(f"\nKaon runs; logs and data under {_shown(state)}.")
            if system.console is not None:
                print("The console; this link logs you in, once (make link prints another):\n")
                print(f"    {system.console_link()}\n")
            print("Try, in another terminal:\n")
            print("    . .venv/bin/activate")
            if config.closed is not None:
                _say_who(system, config.closed)
            print("    kaon submit examples/tour/workflow.py --watch")
            print(
                f"    kaon submit examples/recommendations/workflow.py -p data={_shown(movielens().resolve())} --watch\n"
            )
            print("Ctrl-C stops everything.")
            ended = system.supervisor.wait_for_end()
            if ended is not None:
                print(
                    f"\n{ended.name} has ended by itself; its log: {', '.join(map(str, ended.logs))}",
                    file=sys.stderr,
                )
            return 1
        except KeyboardInterrupt:
            return 0
        finally:
            print()
            system.stop()


def _dev_state(*, secure: bool) -> Path:
    """Where a system of `make dev` keeps what it has: an open one and a closed one share nothing."""
    return STATE / "dev" / "secure" if secure else STATE / "dev"


def _say_who(system: System, closed: Closed) -> None:
    """Write and print who people can be."""
    found = system.environment()
    closed.write_environment(found)
    print(f"    . {_shown(closed.environment_file)}     # you are {USUAL.name}: kaon whoami")
    print(f"    KAON_TOKEN=${PEOPLE[-1].variable} kaon list     # another tenant sees nothing")
    print(f"    KAON_TOKEN=${PEOPLE[0].variable} kaon submit ...     # a viewer may not")
    print(
        f"    KAON_TOKEN=${ADMINISTRATOR.variable} kaon tenants list\n"
        "    env -u KAON_TOKEN kaon login     # with one click in a browser, as anybody"
    )


def link(console_port: int, *, secure: bool) -> int:
    """Prints a link to the console of the system that `develop` keeps running; returns the exit code."""
    if not listening(console_port):
        print("No console runs here: make dev starts one.", file=sys.stderr)
        return 1
    origin = f"{'https' if secure else 'http'}://{HOST}:{console_port}"
    print(console_link(_dev_state(secure=secure), origin, closed=secure))
    return 0


def _workflow(system: System, state: Path, params: Sequence[str]) -> int:
    env = (
        os.environ
        | system.environment()
        | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    )
    given = [word for each in (f"data={movielens()}", *params) for word in ("-p", each)]
    workflow = EXAMPLES / "recommendations" / "workflow.py"
    submit = ["kaon", "submit", str(workflow), *given, "--key", f"demo-{os.getpid()}", "--json"]
    print("\n$ kaon submit examples/recommendations/workflow.py --watch\n", flush=True)
    submitted = subprocess.run(submit, env=env, check=False, stdout=subprocess.PIPE, text=True)
    if submitted.returncode:
        return submitted.returncode
    run_id = json.loads(submitted.stdout)["run"]["run_id"]
    if system.console is not None:
        print(
            f"The run in the console, until the demo ends: {system.console_link(f'/runs/{run_id}')}\n",
            flush=True,
        )
    code = subprocess.run(["kaon", "watch", run_id], env=env, check=False).returncode
    run = _shown_run(env, run_id)
    _collect_report(run, state)
    if code:
        print(
            f"\nThe run ended {run['run']['status']}: {run['run'].get('error', {}).get('message', '')}"
        )
        return code
    _tell_model(run)
    return _consume(system, env, state)


def _shown_run(env: dict[str, str], run_id: str) -> dict[str, Any]:
    shown = subprocess.run(
        ["kaon", "show", run_id, "--json"], env=env, check=True, capture_output=True, text=True
    )
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def _steps(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {step["path"]: step.get("outputs", {}) for step in run.get("steps", [])}


def _tell_model(run: dict[str, Any]) -> None:
    steps = _steps(run)
    published = steps["publish"]
    passes = sorted(path for path in steps if path.endswith("/validate-model"))
    history = steps[passes[-1]]["history"]
    print("\nPasses:")
    for number, each in enumerate(history, 1):
        verdict = "stable" if each["stable"] else "not stable"
        print(
            f"  {number}: mean rank-biased overlap {each['mean']:.3f}, 95 % interval {each['low']:.3f} to {each['high']:.3f}, "
            f"threshold {each['threshold']:g}: {verdict}"
        )
    print(f"\nModel: recommendations version {published['version']}, {published['digest']}")
    print(f"       {published['reference']}")


def _collect_report(run: dict[str, Any], state: Path) -> None:
    outputs = _steps(run).get("report", {})
    for name, file in _TYPES.items():
        if name in outputs:
            artifact = outputs[name]["artifact"]
            shutil.copyfile(artifact["uri"].removeprefix("file://"), state / file)
    if outputs:
        print(f"\nReport: {_shown(state / 'report.html')} (and report.md)")


def _consume(system: System, env: dict[str, str], state: Path) -> int:
    assert system.publisher is not None
    argv = [
        sys.executable,
        str(EXAMPLES / "consumer" / "consumer.py"),
        *("--publisher", system.publisher.config.endpoints["KAON_PUBLISHER"]),
        *(
            "--name",
            "shop",
            "--once",
            "--state",
            str(state / "consumer"),
            "--request",
            json.dumps(REQUEST),
        ),
    ]
    print("\nA production system that watches for models picks it up:\n", flush=True)
    return subprocess.run(argv, env=env, check=False).returncode


def _fresh(directory: Path) -> Path:
    """An empty directory; what the demo before left is gone."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def _has_page() -> bool:
    """Whether the console can be started; says why when not."""
    built = (BUILT_PAGES / "index.html").is_file()
    if not built:
        _say(
            "console: not started, for its page is not built: that needs Node.js with npm (docs/console.md)"
        )
    return built


def _say(line: str) -> None:
    print(f"  {line}", flush=True)


def _shown(path: Path) -> str:
    """A path as people read it: from where they are, when it lies below."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends everything as Ctrl-C does, also where a shell has told us to ignore Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
