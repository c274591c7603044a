"""What there is to look at: one system in this process, a console before it, and runs in the states that pages show."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kaon import Workflow, load_workflow
from kaon.client import Client, Endpoints
from kaon_console.beside import local_settings
from kaon_embedded.system import EmbeddedSettings, EmbeddedSystem
from kaon_service.principal import Principal

from ..serving import Served, serving

SOMEBODY = Principal(tenant="default", name="ada", roles=frozenset({"owner"}))
STRANGER = Principal(tenant="strangers", name="eve")
CELLS = 120
# Texts as people and steps may give them: none may become more than text.
HOSTILE = (
    "<script>window.owned=1</script>",
    "<img src=x onerror=window.owned=1>",
    '"><svg/onload=window.owned=1>',
    "';window.owned=1;'",
    "{{constructor.constructor('window.owned=1')()}}",
    "javascript:window.owned=1",
    "</textarea><iframe srcdoc='<script>parent.owned=1</script>'>",
    "\u202eevil\u202c\u2066mark\u2069",
    '=HYPERLINK("http://evil.example")',
    "\u001b[31mred\u001b]8;;javascript:window.owned=1\u0007link\u001b]8;;\u0007",
    "\u0000nul\u0085",
    "a" * 5000,
)
_FLOWS = """
from pathlib import Path

from kaon import Retry, Workflow, approval, dataset, each, param, steps, sub_workflow

HOSTILE = {hostile!r}

def items(count):
    return {{"items": [f"cell {{n}}" for n in range(count)]}}

def cell(item):
    if item.endswith(" 7"):
        raise ValueError("the seventh has no data")
    print("looked at", item)
    return {{"score": len(item) / 10}}

def say(text):
    for each in HOSTILE:
        print(each)
    return {{"text": text, "all": [each for each in HOSTILE if "\\0" not in each]}}

def fail(text):
    raise RuntimeError(" ".join(HOSTILE[:8]))

def make(count):
    return {{"items": list(HOSTILE[:count])}}

def echo(item):
    return {{"item": item}}

def unsure(mark):
    if not Path(mark).exists():
        Path(mark).touch()
        raise RuntimeError("not the first time")

def quick():
    pass

def weak(mark):
    if Path(mark).exists():
        raise RuntimeError("not yet")

first = steps.python("first", quick)
stuck = Workflow("stuck", first >> steps.python("weak", weak, mark=param("mark", str)))
flaky = steps.python("flaky", unsure, mark=param("mark", str), retry=Retry(max_attempts=3, backoff="10ms"))
last = steps.python("last", quick)
again = Workflow("again", first >> flaky >> last)
small = Workflow("small", steps.python("within", quick))
nested = Workflow("nested", steps.python("before", quick) >> sub_workflow("inside", small))

part = each("part", ["red", "green", "blue"])
spread = Workflow("spread", sub_workflow("child", small)**part)
day, shade = each("day", ["mon", "tue"]), each("shade", ["red", "green", "blue"])
deep = Workflow("deep", (steps.python("open", quick) >> sub_workflow("leaf", small)**shade)**day)

day = param("day", str)
load = steps.python("load", quick, produces=[dataset("ratings", partition=day)])
daily = Workflow("daily", load, parameters=[day])

count = param("count", int, default={cells}, description="How many cells there are")
many = steps.python("list", items, count=count, outputs={{"items": list}})
item = each("item", many["items"])
score = steps.python("cell", cell, item=item, outputs={{"score": float}})
wide = Workflow("wide", many >> score**item)

text = param("text", str, default=HOSTILE[0], description=HOSTILE[1])
said = steps.python("say", say, text=text, outputs={{"text": str, "all": list}})
made = steps.python("make", make, count=8, outputs={{"items": list}})
one = each("one", made["items"])
echoed = steps.python("echo", echo, item=one, outputs={{"item": str}})
asked = approval("ask", message=" ".join(HOSTILE[:9]), roles=["owner"])
parked = Workflow("parked", approval("agree", message="It waits.", roles=["owner"]))
asking = Workflow("asking", approval("agree", message="May it go on?", roles=["owner"]))
failed = steps.python("fail", fail, text=said["text"])
hostile = Workflow("hostile", said >> made >> echoed**one >> asked >> failed, description=" ".join(HOSTILE[:9]))
"""


@dataclass(frozen=True, kw_only=True)
class World:
    """The console, and its runs by what they show."""

    console: Served
    address: str
    # The file of the workflows that are made for the tests.
    file: Path
    # Succeeded: a loop over a foreach.
    tour: str
    # Failed: a foreach of `CELLS` cells, of which a few have failed.
    wide: str
    # Waits for data from outside.
    waiting: str
    # Waits for an approval; everything that it says is hostile.
    hostile: str

    def client(self) -> Client:
        """What somebody calls without a browser."""
        return _client(self.address, SOMEBODY)


@contextmanager
def open_world(state: Path, examples: Path) -> Iterator[World]:
    """Starts everything, and returns when the runs are in their states."""
    file = state / "flows.py"
    file.write_text(_FLOWS.format(hostile=HOSTILE, cells=CELLS))
    with ExitStack() as stack:
        system = stack.enter_context(
            EmbeddedSystem(EmbeddedSettings(state=state / "kept", slots=2))
        )
        settings = local_settings(
            system.address,
            port=0,
            state=state / "logins",
        )
        console = stack.enter_context(serving(settings))
        client = stack.enter_context(_client(system.address, SOMEBODY))
        runs = {
            "tour": _submit(client, load_workflow(examples / "tour" / "workflow.py"), {"count": 2}),
            "wide": _submit(client, load_workflow(file, "wide"), {}),
            "waiting": _submit(client, load_workflow(examples / "gates" / "workflow.py"), {}),
            "hostile": _submit(
                client, load_workflow(file, "hostile"), {"text": " ".join(HOSTILE[:9])}
            ),
        }
        for name in ("tour", "wide"):
            _until_ended(client, runs[name])
        _until_waiting(client, runs["hostile"])
        yield World(console=console, address=system.address, file=file, **runs)


def _client(address: str, who: Principal) -> Client:
    return Client(
        Endpoints(server=address, tenant=who.tenant, principal=who.name, roles=tuple(who.roles))
    )


def _submit(client: Client, workflow: Workflow, params: dict[str, object]) -> str:
    return client.submit(workflow, params).run.run_id


def _until_ended(client: Client, run_id: str) -> None:
    for _ in client.watch(run_id):
        pass


def _until_waiting(client: Client, run_id: str) -> None:
    for update in client.watch(run_id):
        if update.event.block_started.path == "ask":
            return
    raise AssertionError(f"run {run_id} has ended, and was to wait: {client.run(run_id)}")
