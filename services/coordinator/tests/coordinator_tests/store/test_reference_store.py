"""What any row names is found, and what no row names is not."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from kaon_artifacts import Artifact
from kaon_coordinator.store.base import Memo, ScheduleRecord, Store
from kaon_wire import canonical
from kaonapi.run.v1 import command_pb2, history_pb2, run_pb2
from kaonapi.schedule.v1 import schedule_pb2
from kaonapi.workflow.v1 import definition_pb2

from .build import batch, block_row, run_row, step_row, submitted

NEVER_US = 1 << 60


def value(word: str) -> str:
    return hashlib.sha256(word.encode()).hexdigest()


def artifact(word: str, media_type: str = "application/octet-stream") -> str:
    digest = f"sha256:{value(word)}"
    return canonical.dumps(
        {"artifact": {"digest": digest, "media_type": media_type, "type": "file", "uri": "x"}}
    )


def words(store: Store, *candidates: str, superseded_us: int = NEVER_US) -> set[str]:
    found = store.references(superseded_us).digests
    return {word for word in candidates if value(word) in found}


def register(store: Store, name: str, bundle: str, now_us: int) -> str:
    definition = definition_pb2.WorkflowDefinition(name=name, code_bundle=f"sha256:{value(bundle)}")
    version = canonical.digest_message(definition)
    store.put_workflow("default", definition, version, now_us)
    return version


def test_what_any_row_names_is_found(store: Store) -> None:
    run = submitted(store, params={"data": artifact("param")})
    said = history_pb2.HistoryEvent(
        run_id=run.run_id,
        seq=2,
        step_became_ready=history_pb2.StepBecameReady(inputs_json={"x": artifact("event")}),
    )
    memo = Memo(
        tenant="default",
        key="k",
        outputs={"o": artifact("memo")},
        run_id=run.run_id,
        path="work",
        time_us=5,
    )
    over = batch(store.claim_partition(run.partition, "me"), run)
    store.commit(
        replace(
            over,
            history=[over.history[0], said],
            runs=[run_row(run.run_id, outputs=canonical.dumps({"x": artifact("run")}))],
            steps={
                run.run_id: [step_row(data=canonical.dumps({"outputs": {"m": artifact("step")}}))]
            },
            blocks={run.run_id: [block_row(data=canonical.dumps([artifact("block")]))]},
            memos=[memo],
        )
    )
    signal = command_pb2.SignalRun(name="go", payload_json=artifact("command"))
    store.add_command(
        "default", run.run_id, command_pb2.RunCommand(run_id=run.run_id, signal=signal), 1
    )
    schedule = schedule_pb2.Schedule(
        name="nightly", workflow="w", params_json={"x": artifact("schedule")}
    )
    store.put_schedule(
        ScheduleRecord(
            tenant="default",
            partition=1,
            definition=schedule,
            next_us=0,
            state="{}",
            revision=0,
            create_us=0,
        )
    )
    named = {"param", "event", "memo", "run", "step", "block", "command", "schedule"}
    assert words(store, *named, "nobody's") == named


def test_what_a_deleted_run_named_is_found_no_more(store: Store) -> None:
    run = submitted(store, params={"data": artifact("param")})
    epoch = store.claim_partition(run.partition, "me")
    start = next(row for row in store.unapplied(run.partition) if row.run_id == run.run_id)
    over = batch(epoch, run, status=run_pb2.STATUS_SUCCEEDED, end_us=10)
    store.commit(replace(over, applied_inbox=[start.inbox_id], published={run.run_id: 2}))
    assert words(store, "param") == {"param"}
    assert store.remove_runs(20, 10) == [run.run_id]
    assert words(store, "param") == set()


def test_the_rows_of_many_pages_are_all_read(store: Store) -> None:
    run = submitted(store)
    rows = [step_row(f"each[{n:05}]", data=artifact(f"cell {n}")) for n in range(4_500)]
    store.commit(
        replace(batch(store.claim_partition(run.partition, "me"), run), steps={run.run_id: rows})
    )
    names = [f"cell {n}" for n in range(4_500)]
    assert len(words(store, *names)) == 4_500


def test_large_values_are_told_apart_however_deep_their_name_lies(store: Store) -> None:
    inner = artifact("manifest", "application/x-ndjson")
    deep = canonical.dumps({"inputs": canonical.dumps({"rows": inner})})
    submitted(store, params={"data": deep, "other": artifact("file")})
    assert store.references(NEVER_US).values == {value("manifest")}


def test_what_is_named_is_found_whatever_it_is_called(store: Store) -> None:
    def called(word: str, media_type: str) -> str:
        kept = Artifact(uri="file:///x", digest=f"sha256:{value(word)}", media_type=media_type)
        return canonical.dumps({"artifact": replace(kept, name='sha256:"} \\"').to_json()})

    inputs = canonical.dumps({"rows": called("manifest", "application/x-ndjson")})
    submitted(store, params={"data": inputs, "other": called("file", "application/octet-stream")})
    assert words(store, "manifest", "file") == {"manifest", "file"}
    assert store.references(NEVER_US).values == {value("manifest")}


def test_the_code_of_a_version_stays_while_it_is_current_new_or_run(store: Store) -> None:
    register(store, "flow", "oldest", 1_000)
    used = register(store, "flow", "used", 2_000)
    register(store, "flow", "lately", 3_000)
    register(store, "flow", "current", 4_000)
    submitted(store, workflow="flow", version=used)
    bundles = ("oldest", "used", "lately", "current")
    assert words(store, *bundles) == {"used", "current"}
    assert words(store, *bundles, superseded_us=3_500) == {"used", "lately", "current"}


def test_the_code_of_a_version_that_is_current_again_stays_beside_the_newest(store: Store) -> None:
    for number, bundle in enumerate(("first", "second", "third", "first")):
        register(store, "flow", bundle, 1_000 * number)
    assert words(store, "first", "second", "third") == {"first", "third"}
