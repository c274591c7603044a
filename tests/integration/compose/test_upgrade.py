"""From the images of the previous commit to those of this one, with runs under way. KAON_LONG_TESTS=1 runs it.

KAON_UPGRADE_FROM names another commit to come from.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from stack import TAG, Stack, StackConfig, alone, told
from support import load, until
from workload import Workload

from kaon_local.paths import ROOT, cache

pytestmark = [
    pytest.mark.real,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(
        not os.environ.get("KAON_LONG_TESTS"),
        reason="the images of the previous commit take some minutes: KAON_LONG_TESTS=1",
    ),
]

PREVIOUS = f"{TAG}-previous"
# The images with code of this project; in the others are servers of others, which stay as they are.
OWN = ("coordinator", "model-publisher", "consumer", "console", "step-runner-full")
# Services, and how many of each there are.
UPGRADED = (
    ("coordinator", 2),
    ("step-runner", 2),
    ("model-publisher", 1),
    ("view", 1),
    ("console", 1),
)
RUNS = 100


def git(*words: str) -> str:
    return subprocess.run(
        ["git", "-C", str(ROOT), *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def previous(images: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The system on images of the commit before this one, built by that commit's own recipe."""
    checkout = tmp_path_factory.mktemp("previous") / "checkout"
    git(
        "worktree",
        "add",
        "--detach",
        str(checkout),
        os.environ.get("KAON_UPGRADE_FROM") or "HEAD~1",
    )
    try:
        env = {
            **os.environ,
            "PYTHONPATH": str(checkout / "deploy" / "local" / "src"),
            "KAON_CACHE": str(cache()),
        }
        argv = [sys.executable, "-m", "kaon_local", "images", "--tag", PREVIOUS, *OWN]
        subprocess.run(argv, cwd=checkout, env=env, check=True)
        for image in images:
            name = image.removeprefix("kaon/").removesuffix(f":{TAG}")
            if name not in OWN:
                subprocess.run(["docker", "tag", image, f"kaon/{name}:{PREVIOUS}"], check=True)
    finally:
        git("worktree", "remove", "--force", str(checkout))
    config = StackConfig(
        project=f"kaon-upgrade-{os.getpid()}",
        state=Path(tmp_path_factory.mktemp("upgrade")),
        settings={"KAON_TAG": PREVIOUS},
    )
    with alone(config) as stack:
        stack.up("--scale", "coordinator=2", "--scale", "step-runner=2")
        yield stack


def test_an_upgrade_with_a_hundred_runs_under_way_fails_no_step(previous: Stack) -> None:
    work = Workload(
        previous.api,
        load("containers/workflow.py", "fan_out"),
        at_once=RUNS,
        total=2 * RUNS,
        count=3,
        seconds=2.0,
    ).start()
    until(lambda: work.acknowledged >= RUNS, seconds=120, what=f"{RUNS} runs under way")
    previous.set(KAON_TAG=TAG)
    for service, count in UPGRADED:
        previous.up("--no-deps", "--scale", f"{service}={count}", service)
    outcome = work.join(600)
    assert len(outcome.runs) == 2 * RUNS
    told(
        "upgrade",
        [
            f"{len(outcome.runs)} runs, {outcome.steps} steps, each accepted once",
            f"longest pause {outcome.longest_pause:.1f} s, {outcome.lost} leases lost",
        ],
    )
