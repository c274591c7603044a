"""Code in pages, with what the comment above each block says about it.

`<!-- file: NAME -->` names the file that a reader makes of a block, and `<!-- not run: REASON -->` says why no test runs it.
`<!-- exits: N -->` tells the exit code of the last command, and `<!-- stays -->` that it goes on beside the next ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(
    r"(?P<comments>(?:^[ ]*<!-- [^\n]*? -->\s*\n)*)"
    r"^(?P<indent>[ ]*)```(?P<language>\w+)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"<!-- (file|not run|exits|stays)(?:: (.*?))? -->")


@dataclass(frozen=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    language: str
    text: str
    # Of its first line of text, counted from 1.
    line: int
    file: str = ""
    not_run: str = ""
    exits: int = 0
    stays: bool = False

    @property
    def commands(self) -> list[tuple[str, list[str]]]:
        """The commands after `$`, each with the lines that it prints, as the page shows them."""
        found: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                found.append((re.sub(r"\s{2,}#.*", "", line[2:]).strip(), []))
            elif line.strip():
                found[-1][1].append(line)
        return found


def read(page: Path) -> list[Block]:
    """The blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [_block(text, match) for match in _FENCE.finditer(text)]


def _block(text: str, match: re.Match[str]) -> Block:
    told = dict(_COMMENT.findall(match["comments"]))
    return Block(
        language=match["language"],
        text=re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE),
        line=text.count("\n", 0, match.start("text")) + 1,
        file=told.get("file", ""),
        not_run=told.get("not run", ""),
        exits=int(told.get("exits") or 0),
        stays="stays" in told,
    )
