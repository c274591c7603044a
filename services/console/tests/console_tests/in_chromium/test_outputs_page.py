"""The outputs of a run: artifacts are shown as text nodes whatever they hold, and saved as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from kaon import load_workflow

from .looking import DARK, DESKTOP, MOBILE, looking
from .world import SOMEBODY, World

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

# Milliseconds; only for what never comes.
PATIENCE = 30_000
_CARD = """# Model card

Better by **2 %**, see [the data](javascript:window.owned=1). <img src=x onerror=window.owned=1>

| market | rmse |
| -- | -- |
| EU | 0.91 |

- <script>window.owned=1</script>
"""
_ROWS = '{"market": "EU", "users": 3}\n{"market": "US", "users": 12}\n'
_FLOW = f"""
from kaon import Workflow, steps
from kaon.step import StepContext

def report(context: StepContext):
    context.artifact_path("card", ".md").write_text({_CARD!r})
    context.artifact_path("rows", ".jsonl").write_text({_ROWS!r})
    context.artifact_path("model", ".bin").write_bytes(bytes(range(256)))

made = steps.python("report", report, outputs={{"card": "text", "rows": "file", "model": "model"}})
workflow = Workflow("reporting", made, outputs={{"card": made["card"], "rows": made["rows"], "model": made["model"]}})
"""


def test_reports_are_read_in_the_page_and_files_are_saved(
    chromium: Browser, world: World, axe: Path, tmp_path: Path
) -> None:
    file = tmp_path / "reporting.py"
    file.write_text(_FLOW)
    with looking(chromium, world.console, DESKTOP) as window, world.client() as client:
        run_id = client.submit(load_workflow(file), {}).run.run_id
        for _ in client.watch(run_id):
            pass
        window.log_in(SOMEBODY, f"/runs/{run_id}?tab=outputs")
        page = window.page
        heading = page.get_by_role("heading", name="Model card")
        expect(heading.first).to_be_visible(timeout=PATIENCE)
        expect(page.get_by_text("<script>window.owned=1</script>").first).to_be_visible()
        assert page.evaluate("window.owned") is None
        expect(page.locator("main img, main script, main a[href^='javascript:']")).to_have_count(0)
        cells = page.get_by_role("row").filter(has_text="US").get_by_role("cell")
        assert cells.all_inner_texts() == ["US", "12"]
        with page.expect_download() as saving:
            page.get_by_role("button", name="Save model.bin").first.click()
        assert saving.value.suggested_filename == "model.bin"
        assert saving.value.path().read_bytes() == bytes(range(256))
        for look in (DESKTOP, DARK, MOBILE):
            window.look(look)
            window.picture("outputs-report")
            assert window.barriers(axe) == []
            assert window.overflow() <= 0
        assert window.take_problems() == []
