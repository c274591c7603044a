"""Early stopping of a sweep's cells by their reported metric.

Both rules decide at the moment of a report from the reports so far: no cell waits for another.

- Median rule (Golovin et al., Google Vizier, KDD 2017): a cell stops at step s when its best value so far is worse than the
  median of the other cells' running means at s.
- Asynchronous successive halving (Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020), in the variant
  that stops cells instead of promoting them: a cell that reaches the rung min_step x eta^k continues only when it is among the best
  1/eta of the cells that have reached the rung so far.
"""

from __future__ import annotations

import bisect
import math
from collections import defaultdict
from collections.abc import Container, Iterable

from kaonapi.workflow.v1 import definition_pb2 as d

# Reports kept per cell; later reports stop nothing.
REPORTS = 1_000
WORST = 1e300


class Curves:
    """The reports of the cells of one foreach, with signs such that smaller is better."""

    def __init__(self, rule: d.EarlyStopping) -> None:
        self._rule = rule
        self._sign = -1.0 if rule.goal == d.GOAL_MAXIMIZE else 1.0
        # By cell: its reports (step, value) in order of arrival.
        self.reports: dict[int, list[tuple[int, float]]] = defaultdict(list)
        self._sums: dict[int, float] = defaultdict(float)
        self._best: dict[int, float] = {}
        # By step: the sorted running means of all cells that reported it; and by (cell, step) the mean of
        # each cell.
        self._means: dict[int, list[float]] = defaultdict(list)
        self._mean_of: dict[tuple[int, int], float] = {}
        # By rung: the sorted values of the cells that reached it; and by cell the highest rung that it
        # reached.
        self._rungs: dict[int, list[float]] = defaultdict(list)
        self._rung_of: dict[int, int] = {}

    @property
    def metric(self) -> str:
        """Return the name of the metric that the rule uses."""
        return self._rule.metric

    def note(self, cell: int, step: int, value: float) -> None:
        """Record a report; NaN (a diverged model) and infinite values are ignored."""
        if not math.isfinite(value):
            return
        reports = self.reports[cell]
        if len(reports) >= REPORTS:
            return
        reports.append((step, value))
        signed = self._signed(value)
        self._sums[cell] += signed
        self._best[cell] = min(self._best.get(cell, math.inf), signed)
        if (cell, step) not in self._mean_of:
            mean = self._sums[cell] / len(reports)
            self._mean_of[cell, step] = mean
            bisect.insort(self._means[step], mean)
        rung = self._rung_at(step)
        if rung > self._rung_of.get(cell, 0):
            self._rung_of[cell] = rung
            bisect.insort(self._rungs[rung], signed)

    def _signed(self, value: float) -> float:
        """Return a value whose sign makes smaller better, bounded so that sums stay finite."""
        return max(-WORST, min(self._sign * value, WORST))

    def restore(self, cell: int, reports: Iterable[tuple[int, float]]) -> None:
        """Restore the reports of a cell."""
        for step, value in reports:
            self.note(cell, step, value)

    def fresh(self) -> Curves:
        """Return the same rule without any reports."""
        return Curves(self._rule)

    def without(self, cells: Container[int]) -> Curves:
        """Return a copy without the reports of cells that begin anew."""
        fresh = self.fresh()
        for other, reports in self.reports.items():
            if other not in cells:
                fresh.restore(other, reports)
        return fresh

    def stops(self, cell: int, step: int) -> str:
        """Return why the cell should stop after its newest report, which was for `step`; empty when it may continue."""
        match self._rule.WhichOneof("rule"):
            case "median":
                return self._worse_than_median(cell, step)
            case "halving":
                return self._beyond_the_best(cell, step)
        return ""

    def _worse_than_median(self, cell: int, step: int) -> str:
        rule = self._rule.median
        if step < max(rule.min_step, 1) or cell not in self._best:
            return ""
        means = self._means[step]
        own = self._mean_of.get((cell, step))
        place = len(means) if own is None else bisect.bisect_left(means, own)
        others = len(means) - (own is not None)
        if others < (rule.min_cells or 3):
            return ""
        # The median of the other cells, without building their list.
        low, high = (means[each + (each >= place)] for each in ((others - 1) // 2, others // 2))
        median = (low + high) / 2
        if self._best[cell] <= median:
            return ""
        best, bound = self._sign * self._best[cell], self._sign * median
        return f"{self.metric} at step {step}: best {best:g} is worse than the median {bound:g} of {others} others"

    def _beyond_the_best(self, cell: int, step: int) -> str:
        rung = self._rung_at(step)
        if not rung or self._rung_of.get(cell) != rung or not self._just_reached(cell, rung):
            return ""
        values = self._rungs[rung]
        keep = max(1, len(values) // self._eta())
        value = self._signed(self.reports[cell][-1][1])
        if value <= values[keep - 1]:
            return ""
        shown = self._sign * value
        return (
            f"{self.metric} at rung {rung}: {shown:g} is not among the best {keep} of {len(values)}"
        )

    def _just_reached(self, cell: int, rung: int) -> bool:
        reports = self.reports[cell]
        return len(reports) < 2 or max(step for step, _ in reports[:-1]) < rung

    def _eta(self) -> int:
        return max(self._rule.halving.eta or 3, 2)

    def _rung_at(self, step: int) -> int:
        """Return the highest rung that `step` has reached; 0 when there is none."""
        first = max(self._rule.halving.min_step, 1)
        if not self._rule.HasField("halving") or step < first:
            return 0
        rung = first
        while rung * self._eta() <= step:
            rung *= self._eta()
        return rung
