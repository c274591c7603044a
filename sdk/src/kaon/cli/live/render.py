"""Draws a run's tree. What is done folds away, so that the lines that matter fit on the screen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kaon.cli import formatting
from kaon.cli.live.nodes import Node
from kaon.cli.live.tree import RunTree
from kaon_wire.texts import counted
from kaonapi.run.v1 import run_pb2

# More cells than this are not listed one by one: the finished ones are only counted.
_MANY_CELLS = 12
_BAR_WIDTH = 20
# In narrower terminals details are stacked.
_WIDE = 100
_COUNTED = (run_pb2.STATUS_SUCCEEDED, run_pb2.STATUS_SKIPPED)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the drawing."""

    depth: int
    node: Node
    # What stands in the line instead of a node's details, such as "… 7 more".
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a run looks like at a moment, as wide as it is printed.

    Attributes:
        tree: the run.
        now_us: the moment, in microseconds since the epoch.
        max_lines: bound of the lines of the tree in a picture that is redrawn: there a line is cut where it does not fit.
            None: nothing is cut.
        lock: held while the tree is read.
    """

    tree: RunTree
    now_us: int
    max_lines: int | None = None
    lock: AbstractContextManager[object] = field(default_factory=nullcontext)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self.lock:
            parts = list(self._parts(options.max_width))
        yield from parts

    def _parts(self, width: int) -> Iterator[RenderableType]:
        yield _head(self.tree, self.now_us)
        shown = _shown_errors(self.tree.root)
        lines = self._stacked(shown) if width < _WIDE else self._aligned(shown)
        hidden = 0 if self.max_lines is None else max(len(lines) - self.max_lines, 0)
        if hidden:
            yield Text(f"  … {counted(hidden, 'line')} above", style="dim")
        table = Table.grid(padding=(0, 1))
        for line in lines[hidden:]:
            table.add_row(*line)
        yield table
        yield from _foot(
            self.tree, told={node.error for node in shown.values()} if not hidden else set()
        )

    def _aligned(self, shown: Mapping[str, Node]) -> list[tuple[RenderableType, ...]]:
        return [
            (
                _name(row),
                Text(_state(row.node) if not row.note else "", style=_style(row)),
                (_bar(row.node) if not row.note else None) or "",
                Text(_elapsed(row.node, self.now_us) if not row.note else "", style="dim"),
                self._details(row, shown),
            )
            for row in _rows(self.tree.root, 0)
        ]

    def _stacked(self, shown: Mapping[str, Node]) -> list[tuple[RenderableType, ...]]:
        """In a narrow terminal the details of a node stand below it."""
        lines: list[tuple[RenderableType, ...]] = []
        for row in _rows(self.tree.root, 0):
            if row.note:
                lines.append((_name(row),))
                continue
            elapsed = _elapsed(row.node, self.now_us)
            state = (f"  {_state(row.node)}", _style(row))
            lines.append(
                (Text.assemble(_name(row), state, (f"  {elapsed}" if elapsed else "", "dim")),)
            )
            details = self._details(row, shown)
            if details.plain:
                lines.append((Padding(details, (0, 0, 0, 2 * row.depth + 6)),))
        return lines

    def _details(self, row: Row, shown: Mapping[str, Node]) -> Text:
        node = row.node
        if row.note:
            return Text("")
        failed = node.path in shown
        text = node.error if failed else _details(node)
        style = "red" if failed and node.ended else "dim"
        if self.max_lines is None:
            return Text(text, style=style, overflow="fold")
        return Text(text.partition("\n")[0], style=style, overflow="ellipsis", no_wrap=True)


def _shown_errors(root: Node) -> dict[str, Node]:
    """Return the nodes whose errors are told: not those around them that failed because of them."""
    found: dict[str, Node] = {}
    for child in root.children.values():
        inside = _shown_errors(child)
        found |= inside
        if child.error and all(node.error != child.error for node in inside.values()):
            found[child.path] = child
    return found


def _rows(parent: Node, depth: int) -> Iterator[Row]:
    children = list(parent.children.values())
    shown = [child for child in children if not _folds_away(parent, child)]
    limit = _MANY_CELLS if parent.kind in ("for_each", "block") else len(shown)
    for child in shown[:limit]:
        yield Row(depth=depth, node=child)
        if not (child.kind == "cell" and child.status in _COUNTED):
            yield from _rows(child, depth + 1)
    if len(shown) > limit:
        yield Row(depth=depth, node=parent, note=f"… {len(shown) - limit} more")


def _folds_away(parent: Node, child: Node) -> bool:
    many = parent.kind in ("for_each", "block") and len(parent.children) > _MANY_CELLS
    return many and child.status in _COUNTED


def _name(row: Row) -> Text:
    indent = "  " * (row.depth + 1)
    if row.note:
        return Text(f"{indent}  {row.note}", style="dim")
    sign, style = formatting.LOOKS[row.node.status]
    hook = f" {row.node.hook}" if row.node.hook else ""
    named = (row.node.label, "bold" if row.node.kind != "step" else "")
    return Text.assemble(indent, (f"{sign} ", style), named, (hook, "dim"), overflow="fold")


def _style(row: Row) -> str:
    return formatting.LOOKS[row.node.status][1]


def _state(node: Node) -> str:
    text = formatting.status(node.status).lower().replace("_", " ")
    text = f"{text} (attempt {node.attempt})" if node.attempt > 1 else text
    return f"{text}, late" if node.late else text


def _bar(node: Node) -> ProgressBar | None:
    if node.kind == "for_each" and node.total:
        return ProgressBar(
            total=node.total,
            completed=sum(child.ended for child in node.children.values()),
            width=_BAR_WIDTH,
        )
    if node.kind == "step" and node.status == run_pb2.STATUS_RUNNING and node.progress > 0:
        return ProgressBar(total=1.0, completed=min(node.progress, 1.0), width=_BAR_WIDTH)
    return None


def _elapsed(node: Node, now_us: int) -> str:
    if not node.start_us:
        return ""
    return formatting.duration(((node.end_us or now_us) - node.start_us) / 1e6)


def _details(node: Node) -> str:
    if node.kind == "for_each" and node.total:
        return _cells_text(node)
    parts = []
    if node.kind == "repeat" and node.total:
        parts.append(f"iteration {len(node.children)} of at most {node.total}")
    parts += [part for part in (node.message, node.answer) if part]
    parts += [f"{name}={value:.4g}" for name, value in node.metrics.items()]
    if node.runner and node.status == run_pb2.STATUS_RUNNING:
        parts.append(f"on {node.runner}")
    if node.lost_runners:
        parts.append(f"lost {counted(node.lost_runners, 'runner')}")
    return "  ".join(parts)


def _cells_text(node: Node) -> str:
    parts = [f"{node.count(run_pb2.STATUS_SUCCEEDED)} of {node.total} done"]
    if skipped := node.count(run_pb2.STATUS_SKIPPED):
        parts.append(f"{skipped} stopped early")
    if node.best is not None:
        value, key = node.best
        cell = node.children.get(f"{node.path}[{key}]")
        item = f" {cell.message}" if cell is not None and cell.message.startswith("{") else ""
        parts.append(f"best {value:.4g} in [{key}]{item}")
    return ", ".join(parts)


def _head(tree: RunTree, now_us: int) -> Text:
    sign, style = formatting.LOOKS[tree.root.status]
    steps = list(tree.steps())
    done = sum(step.status == run_pb2.STATUS_SUCCEEDED for step in steps)
    return Text.assemble(
        (f"{sign} ", style),
        (tree.workflow or "run", "bold"),
        f"  {tree.run_id}  ",
        (formatting.status(tree.root.status), style),
        ("  late" if tree.root.late else "", "yellow"),
        (f"  {_elapsed(tree.root, now_us)}  {done} of {counted(len(steps), 'step')} done", "dim"),
        (f"  {tree.root.message}" if tree.root.message and not tree.root.ended else "", "dim"),
    )


def _foot(tree: RunTree, told: Collection[str]) -> Iterator[RenderableType]:
    for node in tree.gates():
        if node.answer:
            yield Text(f"{node.path} waits for {node.message}", style="magenta")
    for name, text in sorted(tree.root.outputs.items()):
        yield Text(f"{name} = {text}", overflow="fold")
    if tree.root.error and tree.root.error not in told:
        cancelled = tree.root.status == run_pb2.STATUS_CANCELLED
        yield Text(tree.root.error, style="yellow" if cancelled else "red", overflow="fold")
