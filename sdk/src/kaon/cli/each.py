"""Submits a run for each line of a file, or checks all lines; waits for the ends of the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
from rich.status import Status

from kaon.cli import formatting, output
from kaon.cli.following import EXIT_CODES, FAILED
from kaon.cli.param_lines import ParamLine
from kaon.cli.screen import Screen
from kaon.client import Client, InvalidValue, many
from kaon_wire.texts import counted
from kaonapi.run.v1 import run_pb2, run_service_pb2
from kaonapi.workflow.v1 import definition_pb2

# Progress is shown after so many answers.
_SHOWN = 100
_CODES = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(frozen=True, kw_only=True)
class EachRun:
    """What all runs have in common."""

    name: str
    version: str
    definition: definition_pb2.WorkflowDefinition
    # Parameters that stand unless a line has them.
    params: Mapping[str, Any] = field(default_factory=dict)
    # The key of a line is this, a colon and the number of the line; empty: each call makes new runs.
    key: str = ""
    priority: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    only: Collection[str] = ()
    until: Collection[str] = ()
    # Nothing is submitted.
    validate_only: bool = False

    def request(
        self, client: Client, number: int, params: Mapping[str, Any]
    ) -> run_service_pb2.SubmitRunRequest:
        """Return the request of a line.

        Raises:
            KaonError: its parameters are wrong.
        """
        return many.request(
            self.name,
            self.version,
            client.encode_params(self.definition, {**self.params, **params}),
            f"{self.key}:{number}" if self.key else "",
            priority=self.priority,
            labels=self.labels,
            only=self.only,
            until=self.until,
            validate_only=self.validate_only,
        )


class EachLine:
    """Submits the lines of one file.

    Args:
        client: submits.
        common: what all runs have in common.
        json: prints lines of JSON.
    """

    def __init__(self, client: Client, common: EachRun, *, json: bool) -> None:
        self._client = client
        self._common = common
        self._json = json
        self._numbers: list[int] = []
        # In the order of the lines.
        self.run_ids: list[str] = []
        self.counts: Counter[str] = Counter()

    def submit(self, lines: Iterable[ParamLine]) -> int:
        """Submit, or check, all lines; tell what becomes of each. Return the exit code.

        Raises:
            KaonError: the coordinator does not answer, or lets the caller submit nothing.
        """
        doing = "Checking" if self._common.validate_only else "Submitting"
        with Screen(stderr=True, highlight=False).status(f"{doing}...") as status:
            try:
                answers = self._client.submit_requests(self._requests(lines))
                for place, answer in enumerate(answers):
                    self._tell(self._numbers[place], answer)
                    self._show(status, doing, place + 1)
            finally:
                # Also when it ends early: what is submitted stays so.
                self._sum_up()
        return FAILED if self.counts["refused"] else 0

    def _requests(self, lines: Iterable[ParamLine]) -> Iterator[run_service_pb2.SubmitRunRequest]:
        for line in lines:
            try:
                if isinstance(line.params, InvalidValue):
                    raise line.params
                request = self._common.request(self._client, line.number, line.params)
            except InvalidValue as error:
                self._refuse(line.number, "INVALID_ARGUMENT", str(error))
                continue
            self._numbers.append(line.number)
            yield request

    def _tell(self, number: int, answer: run_service_pb2.SubmittedRun) -> None:
        if answer.HasField("refusal"):
            self._refuse(number, _CODES.get(answer.refusal.code, ""), answer.refusal.message)
        elif self._common.validate_only:
            self.counts["right"] += 1
            if self._json:
                output.print_json({"line": number, "valid": True})
        else:
            self.counts["submitted" if answer.created else "existed"] += 1
            self.run_ids.append(answer.run_id)
            if self._json:
                told = {"run_id": answer.run_id, "created": answer.created}
                output.print_json({"line": number, **told})
            else:
                output.say(answer.run_id)

    def _refuse(self, number: int, code: str, message: str) -> None:
        self.counts["refused"] += 1
        if self._json:
            output.print_json({"line": number, "error": {"code": code, "message": message}})
        else:
            output.note(f"line {number}: {message}")

    def _show(self, status: Status, doing: str, done: int) -> None:
        if done % _SHOWN == 0:
            status.update(f"{doing}: {counted(done, 'line')}")

    def _sum_up(self) -> None:
        counts = self.counts
        if self._common.validate_only:
            told = f"{counted(counts['right'], 'line is', 'lines are')} right"
        else:
            told = f"Submitted {counted(counts['submitted'], 'run')} of {self._common.name}"
            if counts["existed"]:
                told += f"; {counts['existed']} existed before"
        refused = counted(counts["refused"], "line was", "lines were")
        output.note(f"{told}; {refused} refused." if counts["refused"] else f"{told}.")


def wait(client: Client, run_ids: Collection[str], *, json: bool) -> int:
    """Wait until all runs have ended, and tell of those that did not succeed. Return the exit code."""
    ends: Counter[run_pb2.Status.ValueType] = Counter()
    try:
        with Screen(stderr=True, highlight=False).status("Waiting...") as status:
            for run_id in run_ids:
                run = client.until_ended(run_id)
                ends[run.status] += 1
                status.update(f"Waiting: {ends.total()} of {counted(len(run_ids), 'run')} ended")
                _tell_end(run, json=json)
    except KeyboardInterrupt:
        output.note("The runs go on: kaon list shows them.")
        raise
    told = [f"{count} {formatting.status(each)}" for each, count in sorted(ends.items())]
    output.note(f"{', '.join(told) or 'No run'} of {counted(len(run_ids), 'run')}.")
    codes = {EXIT_CODES.get(each, FAILED) for each in ends}
    return FAILED if FAILED in codes else max(codes, default=0)


def _tell_end(run: run_pb2.Run, *, json: bool) -> None:
    if json:
        output.print_json(run)
    elif run.status != run_pb2.STATUS_SUCCEEDED:
        output.note(
            f"run {run.run_id} is {formatting.status(run.status)}: {run.error.message or 'see kaon show'}"
        )
