"""What is too large to be shown at once is shown in part, and the page says so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, CDPSession, expect

from kaon import load_workflow
from kaon.client import Client
from kaon_wire.definitions.limits import DEFAULT
from kaonapi.workflow.v1 import definition_pb2 as d

from .looking import DESKTOP, looking
from .world import SOMEBODY, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

# Milliseconds; only for what never comes.
PATIENCE = 120_000
BLOCKS = 10_000
# Of the processor, so that a busy machine changes little: seconds until a drawing stands, and in a frame that is moved.
OPENS = 2.0
FRAME = 1 / 60
FRAMES = 40
_PAN = """
async frames => {
  const pane = document.querySelector(".react-flow__pane");
  const {x, y} = pane.getBoundingClientRect();
  for (let at = 0; at < frames; at++) {
    const moved = {deltaX: at < frames / 2 ? 60 : -60, clientX: x + 300, clientY: y + 200, bubbles: true, shiftKey: true};
    pane.dispatchEvent(new WheelEvent("wheel", moved));
    await new Promise(requestAnimationFrame);
  }
}
"""
_LONG = """
import json

from kaon import Workflow, steps
from kaon.step import StepContext

def much(context: StepContext):
    print("begin " + "x" * 1_000_000 + " end")
    rows = [{"number": number, "text": "y" * 80} for number in range(50_000)]
    context.artifact_path("rows", ".json").write_text(json.dumps(rows))

made = steps.python("much", much, outputs={"rows": "file"})
workflow = Workflow("much", made, outputs={"rows": made["rows"]})
"""


def _step(name: str, more: str = "") -> d.Block:
    config = f'{{"script": "true{more}"}}'
    return d.Block(name=name, step=d.Step(type="shell", config_json=config))


def _held(name: str) -> d.WorkflowDefinition:
    """A workflow whose first block waits for an approval."""
    definition = d.WorkflowDefinition(name=name)
    approval = d.Approval(message="It waits.")
    definition.body.blocks.append(d.Block(name="wait", gate=d.Gate(approval=approval)))
    return definition


def _wide() -> d.WorkflowDefinition:
    """Ten thousand steps after one gate."""
    definition = _held("large-wide")
    for number in range(BLOCKS - 1):
        definition.body.blocks.append(_step(f"s{number}"))
        definition.body.edges.add(source="wait", target=f"s{number}")
    return definition


def _nested() -> d.WorkflowDefinition:
    """A hundred foreach, one after the other, of a hundred steps each."""
    definition = _held("large-nested")
    for number in range(100):
        block = d.Block(name=f"g{number}", for_each=d.ForEach(item=f"i{number}"))
        block.for_each.items.literal_json = "[1, 2]"
        block.for_each.body.blocks.extend(_step(f"g{number}s{at}") for at in range(100))
        definition.body.edges.add(source=definition.body.blocks[-1].name, target=block.name)
        definition.body.blocks.append(block)
    return definition


def _fullest() -> d.WorkflowDefinition:
    """Fewer steps, of as many bytes as the server takes."""
    definition = _held("large-bytes")
    for number in range(3_900):
        definition.body.blocks.append(_step(f"s{number}", " && true" * 22))
        definition.body.edges.add(source="wait", target=f"s{number}")
    assert 0.85 < definition.ByteSize() / DEFAULT.definition_bytes < 1
    return definition


def _submit(client: Client, definition: d.WorkflowDefinition) -> str:
    client.register_definition(definition)
    return client.submit_registered(definition.name).run.run_id


def _processor(session: CDPSession) -> float:
    """Seconds that the page's thread has worked."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return next(float(each["value"]) for each in metrics if each["name"] == "TaskDuration")


@pytest.mark.parametrize(
    ("definition", "wanted", "lacks"),
    [
        (_wide(), "s9876", "8 000 more blocks and 1 999 lines are not drawn"),
        (_nested(), "g57s50", "8 101 more blocks are not drawn"),
        (_fullest(), "s3456", "1 901 more blocks and 1 999 lines are not drawn"),
    ],
    ids=lambda each: each.name if isinstance(each, d.WorkflowDefinition) else "",
)
def test_of_a_large_definition_a_part_is_drawn_and_the_search_leads_to_the_rest(
    chromium: Browser, world: World, definition: d.WorkflowDefinition, wanted: str, lacks: str
) -> None:
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        run_id = _submit(client, definition)
        window.log_in(SOMEBODY)
        page = window.page
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        cards = page.locator(".react-flow__node-card")
        before = _processor(session)
        page.goto(f"{world.console.origin}/runs/{run_id}")
        expect(cards.first).to_be_visible(timeout=PATIENCE)
        # The counter may have begun anew with the page.
        opened = _processor(session)
        spent = opened - before if opened > before else opened
        assert spent <= OPENS
        window.settle()
        told = page.locator("main p[role=status]")
        assert lacks in told.inner_text().replace("\u202f", " ")
        assert cards.count() < 300
        before = _processor(session)
        page.evaluate(_PAN, FRAMES)
        assert (_processor(session) - before) / FRAMES <= FRAME
        card = page.locator(f".react-flow__node[data-id='{wanted}']")
        expect(card).to_have_count(0)
        page.keyboard.press("/")
        expect(page.get_by_role("combobox", name="Find a block")).to_be_focused()
        page.keyboard.type(wanted)
        option = page.get_by_role("option", name=wanted, exact=True)
        expect(option).to_have_attribute("data-combobox-selected", "true", timeout=PATIENCE)
        page.keyboard.press("Enter")
        expect(card).to_be_visible(timeout=PATIENCE)
        drawer = page.get_by_role("complementary", name=f"Details of {wanted}")
        expect(drawer).to_contain_text("Not started", timeout=PATIENCE)
        window.picture(f"large-{definition.name}")
        # What was looked for stays when its drawer is closed.
        drawer.get_by_role("button", name="Close").click()
        expect(card).to_be_visible()
        window.go(f"/runs/{run_id}?tab=code")
        expect(page.locator(".cm-line").first).to_be_visible(timeout=PATIENCE)
        # What is left out is said before the text, where somebody reads first.
        expect(page.get_by_text("more blocks left out here")).to_be_in_viewport()
        window.go("/runs")
        expect(page.get_by_role("row").filter(has_text=run_id[-8:])).to_be_visible(timeout=PATIENCE)
        window.go(f"/launch/{definition.name}")
        expect(page.get_by_role("button", name=re.compile("^Launch"))).to_be_enabled(
            timeout=PATIENCE
        )
        client.cancel(run_id, "the test is over")
        assert [each for each in window.take_problems() if "GetStep" not in each] == []


def test_a_line_of_a_megabyte_and_an_output_of_five_are_shown_in_part(
    chromium: Browser, world: World, tmp_path: Path
) -> None:
    file = tmp_path / "much.py"
    file.write_text(_LONG)
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        run_id = client.submit(load_workflow(file), {}).run.run_id
        client.until_ended(run_id)
        window.log_in(SOMEBODY, f"/runs/{run_id}?step=much&panel=logs")
        page = window.page
        log = page.get_by_role("region", name="Log")
        expect(log.get_by_text("begin xxx").first).to_be_visible(timeout=PATIENCE)
        window.picture("large-line")
        expect(log.get_by_text("The beginning of a line of 1.0 MB")).to_be_visible()
        assert log.get_by_role("button", name="Link to line").count() == 1, "it is one line"
        assert len(log.inner_text()) < 50_000
        assert window.overflow() <= 0
        window.go(f"/runs/{run_id}?tab=outputs")
        expect(page.get_by_text(re.compile("^The beginning of 5")).first).to_be_visible(
            timeout=PATIENCE
        )
        window.picture("large-output")
        assert len(page.locator("main").inner_text()) < 500_000
        assert window.overflow() <= 0
        assert window.take_problems() == []
