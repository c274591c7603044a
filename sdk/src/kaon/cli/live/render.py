"""Draws a run's tree. What is done folds away, so that the lines that matter fit on the screen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kaon.cli import formatting
from kaon.cli.live.nodes import Node
from kaon.cli.live.tree import RunTree
from kaonapi.run.v1 import run_pb2

# More cells than this are not listed one by one: the finished ones are only counted.
_MANY_CELLS = 12
_BAR_WIDTH = 20
_COUNTED = (run_pb2.STATUS_SUCCEEDED, run_pb2.STATUS_SKIPPED)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the drawing."""

    depth: int
    node: Node
    # What stands in the line instead of a node's details, such as "… 7 more".
    note: str = ""


def draw(tree: RunTree, now_us: int, *, max_rows: int | None = None) -> RenderableType:
    """Return the whole picture, with at most `max_rows` lines of the tree."""
    rows = list(_rows(tree.root, 0))
    hidden = 0 if max_rows is None else max(len(rows) - max_rows, 0)
    table = Table.grid(padding=(0, 1))
    for row in rows[hidden:]:
        table.add_row(*_cells(row, now_us))
    above = [Text(f"  … {hidden} lines above", style="dim")] if hidden else []
    return Group(_head(tree, now_us), *above, table, *_foot(tree))


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


def _cells(row: Row, now_us: int) -> tuple[RenderableType, ...]:
    indent = "  " * (row.depth + 1)
    if row.note:
        return (Text(f"{indent}  {row.note}", style="dim"), "", "", "", "")
    node = row.node
    sign, style = formatting.LOOKS[node.status]
    return (
        Text.assemble(
            indent,
            (f"{sign} ", style),
            (node.label, "bold" if node.kind != "step" else ""),
            (f" {node.hook}" if node.hook else "", "dim"),
        ),
        Text(_state(node), style=style),
        _bar(node) or "",
        Text(_elapsed(node, now_us), style="dim"),
        Text(
            _details(node),
            style="red" if node.error and node.ended else "dim",
            overflow="ellipsis",
            no_wrap=True,
        ),
    )


def _state(node: Node) -> str:
    text = formatting.status(node.status).lower().replace("_", " ")
    text = f"{text} (attempt {node.attempt})" if node.attempt > 1 else text
    return f"{text}, late" if node.late else text


def _bar(node: Node) -> ProgressBar | None:
    if node.kind == "for_each" and node.total:
        return ProgressBar(
            total=node.total, completed=sum(child.ended for child in node.children.values()), width=_BAR_WIDTH
        )
    if node.kind == "step" and node.status == run_pb2.STATUS_RUNNING and node.progress > 0:
        return ProgressBar(total=1.0, completed=min(node.progress, 1.0), width=_BAR_WIDTH)
    return None


def _elapsed(node: Node, now_us: int) -> str:
    if not node.start_us:
        return ""
    return formatting.duration(((node.end_us or now_us) - node.start_us) / 1e6)


def _details(node: Node) -> str:
    if node.error:
        return node.error.splitlines()[0]
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
        parts.append(f"lost {node.lost_runners} runner{'s' if node.lost_runners > 1 else ''}")
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
        (f"  {_elapsed(tree.root, now_us)}  {done} of {len(steps)} steps done", "dim"),
        (f"  {tree.root.message}" if tree.root.message and not tree.root.ended else "", "dim"),
    )


def _foot(tree: RunTree) -> list[RenderableType]:
    waiting = [f"{node.path} waits for {node.message}" for node in tree.gates() if node.answer]
    lines: list[RenderableType] = [Text(text, style="magenta") for text in waiting]
    lines += [Text(f"{name} = {text}") for name, text in sorted(tree.root.outputs.items())]
    if tree.root.error:
        cancelled = tree.root.status == run_pb2.STATUS_CANCELLED
        lines.append(Text(tree.root.error, style="yellow" if cancelled else "red"))
    return lines
