"""Hive steps: SQL over HiveServer2's protocol."""

from __future__ import annotations

import sys

from kaon_runner.steptypes import config, engine_tokens
from kaon_runner.steptypes.base import (
    Detection,
    Launch,
    PreparedStep,
    Settings,
    StepType,
    WorkerLaunch,
    WorkerSpec,
)

# A cancelled step waits until its statement is planned, which a busy server takes long for.
_GRACE_SECONDS = 30.0


class HiveStepType(StepType):
    """Config: {"query": "SELECT ..."} or {"file": "sql/x.sql"}; several statements are separated by `;`.

    Inputs are bound by name (`%(name)s` or `:name`, outside of quotes) as values, never as text of the query:
    they cannot name a table or a column. An artifact is bound as its address. The last statement's rows go as
    Parquet to the one declared dataset or table, and their number to `rows`.
    """

    name = "hive"

    def detect(self, settings: Settings) -> Detection:
        """Detect a server's address in the settings."""
        if not settings.hive:
            return Detection(
                available=False,
                reason="set KAON_HIVE to the host:port of a HiveServer2 (python -m kaon_local starts one)",
            )
        return Detection(
            available=True, labels={"hive": "true"}, reason=f"HiveServer2 at {settings.hive}"
        )

    def prepare(self, step: PreparedStep, settings: Settings) -> Launch:
        """Return how to launch the step; see `StepType`."""
        config.only(step, ("query", "file"))
        source = config.one_of(step, "query", "file")
        text = config.text(step, source)
        if source == "file":
            step.bundle_file(text)
        env = {
            "KAON_HIVE": settings.hive,
            "KAON_BUNDLE": str(step.bundle or ""),
            **engine_tokens.environment(settings, step.spec.tenant),
        }
        spec = WorkerSpec(
            key=f"hive/{step.spec.code_bundle}",
            python=sys.executable,
            env=env,
            preload=("impala.dbapi", "pandas"),
            grace_seconds=_GRACE_SECONDS,
        )
        return WorkerLaunch(
            worker=spec, target="kaon_runner.children.hive:run", inputs_as_arguments=False
        )
