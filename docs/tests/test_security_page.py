"""The page about security names tests that there are."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| CVE-\d{4}-\d+ \(\w+\) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


def test_every_fault_names_a_test_that_there_is_or_says_that_it_comes_later() -> None:
    page = (ROOT / "docs" / "security.md").read_text()
    rows = _ROW.findall(page)
    assert len(rows) == page.count("\n| CVE-") == 23
    listed = ["git", "grep", "-hoE", r"def test_\w+", "--", "*/tests/*", "tests/*"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    tests = {line.removeprefix("def ") for line in found.splitlines()}
    for row in rows:
        named = set(re.findall(r"`(test_\w+)`", row))
        assert named or row == "later"
        assert named <= tests, row
