"""What type checkers say of workflow files."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SDK = Path(__file__).parents[2]
GOOD = """
from kaon import Retry, Workflow, approval, each, param, repeat, steps
from kaon.client import AsyncClient, Client

def split(count: int) -> dict[str, object]:
    return {}

made = steps.python("split", split, count=param("count", int, default=3), outputs={"regions": list, "rows": "dataset"},
                    retry=2, timeout="10m", tags=["gpu"], memo=True, isolation="process")
region = each("region", made["regions"])
train = steps.python("train", "trainer:fit", region=region, rows=made["rows"], outputs={"good": bool},
                     retry=Retry(max_attempts=3), inputs={"pool": 1}, priority=5)
shown = steps.shell("show", ["ls", "-l"], env={"A": "b"}, any_input=made["rows"])
counted = steps.hive("count", query="select 1", outputs={"n": int}, config={"a": 1})
own = steps.step("own-type", "x", file="a.txt", deadline=30)
body = repeat(made >> train**region, until=made["regions"], max_iterations=5, backoff="10s", exhausted="accept")
workflow = Workflow("tour", body >> shown >> counted >> own >> approval("ask", on_timeout="reject", timeout="1d"))

def use(client: Client) -> str:
    return client.submit(workflow, {"count": 3}).wait(timeout=10).status

async def use_twin(client: AsyncClient) -> str:
    run = await client.submit(workflow, {"count": 3}, labels={"team": "search"})
    async for update in client.watch(run.run_id):
        print(update.event.seq)
    async for line in run.logs(follow=True):
        print(line.text)
    await run.wait(timeout=3)
    return await run.status()
"""
# Each line is one mistake.
BAD = """
from kaon import approval, repeat, steps
from kaon.client import AsyncClient
def f() -> None: ...
step = steps.python("a", f)
steps.python("a", f, retry="3")
steps.python("a", f, outputs={"x": "datset"})
steps.python("a", f, isolation="none")
steps.shell("a", ["ls"], timeout=[10])
steps.hive("a", query="select 1", priority="high")
steps.step("t", "x", tags=3)
repeat(step, until=True, max_iterations=3, max_wait="1h")
repeat(step, until=True, max_iterations=3, exhausted="ignore")
approval("ask", on_timeout="default")
AsyncClient().submit(3)
"""


def test_the_stub_is_what_the_functions_take() -> None:
    stub = runpy.run_path(str(SDK / "stub.py"))
    assert stub["text"]() == stub["STUB"].read_text(), "run: python sdk/stub.py"


@pytest.mark.slow
def test_mypy_finds_each_mistake_in_a_workflow_file_and_none_in_a_good_one(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD)
    (tmp_path / "bad.py").write_text(BAD)
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\nfollow_imports = silent\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "good.py", "bad.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    found = [line.split(":")[:2] for line in done.stdout.splitlines() if ": error: " in line]
    expected = range(
        BAD.splitlines().index('step = steps.python("a", f)') + 2, len(BAD.splitlines()) + 1
    )
    assert {int(line) for file, line in found if file == "bad.py"} == {*expected}, done.stdout
    assert [line for file, line in found if file == "good.py"] == [], done.stdout
