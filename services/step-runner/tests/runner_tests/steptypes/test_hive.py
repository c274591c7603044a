"""Hive steps on a real HiveServer2 protocol."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
from engines import (
    CANCEL_SECONDS,
    artifact,
    bundle,
    busy,
    content,
    outputs,
    platform_error,
    progress,
    run,
    soon,
    user_error,
)
from harness import MemorySystem, request

from kaon_local.ports import free_port
from kaonapi.runner.v1 import runner_pb2

pytestmark = pytest.mark.real
CANCELLED = runner_pb2.REVOKE_REASON_CANCELLED
# Hours of work in many tasks, if nobody ends it.
ENDLESS = "SELECT sum(id % 7) AS s FROM range(0, 100000000000000, 1, 8)"


@pytest.fixture
def system(spark_system: MemorySystem) -> MemorySystem:
    return spark_system


def test_the_label_is_there(system: MemorySystem) -> None:
    labels = system.wait(lambda: system.heartbeats and system.heartbeats[-1].labels)
    assert labels["hive"] == "true"


def test_the_last_statements_rows_are_the_dataset(system: MemorySystem) -> None:
    query = """
        CREATE OR REPLACE TEMPORARY VIEW people AS SELECT * FROM VALUES (1, 'US'), (2, 'CA'), (3, 'US') AS t(id, region);
        SELECT id, region FROM people WHERE region = %(region)s AND id >= :least ORDER BY id;
    """
    wanted = request(
        "hive",
        {"query": query},
        inputs={"region": "US", "least": 2},
        outputs={"users": "dataset", "rows": "int"},
    )
    found = outputs(run(system, wanted))
    assert found["rows"] == 1
    frame = pd.read_parquet(io.BytesIO(content(system, found["users"])))
    assert frame.to_dict("records") == [{"id": 3, "region": "US"}]
    assert "statement 2 of 2" in progress(system, wanted)


@pytest.mark.parametrize(
    "text",
    [
        "it's",
        'a "b" \\ c',
        "\\' OR '1'='1",
        "'; DROP TABLE x; --",
        "${system:user.name}",
        "%(text)s :text",
        "ä\n\t\r§",
        "\\u0041",
    ],
)
def test_a_text_arrives_at_the_server_as_it_is(system: MemorySystem, text: str) -> None:
    wanted = request(
        "hive",
        {"query": "SELECT %(text)s AS text"},
        inputs={"text": text},
        outputs={"found": "table"},
    )
    frame = pd.read_parquet(io.BytesIO(content(system, outputs(run(system, wanted))["found"])))
    assert frame["text"].tolist() == [text]


def test_an_input_cannot_name_a_table(system: MemorySystem) -> None:
    wanted = request("hive", {"query": "SELECT * FROM %(table)s"}, inputs={"table": "people"})
    assert "PARSE_SYNTAX_ERROR" in user_error(run(system, wanted))


def test_an_artifact_is_read_by_the_server_at_its_address(
    system: MemorySystem, tmp_path: Path
) -> None:
    data = tmp_path / "users.csv"
    data.write_text("user,age\n1,30\n2,40\n")
    files = {
        "sql/read.sql": "CREATE OR REPLACE TEMPORARY VIEW u (user INT, age INT) USING csv\n"
        "OPTIONS (path %(users)s, header 'true');\n"
        "SELECT sum(age) AS age FROM u"
    }
    wanted = request(
        "hive",
        {"file": "sql/read.sql"},
        inputs={"users": artifact(system, data, "dataset")},
        outputs={"sum": "dataset"},
        bundle=bundle(system, files),
    )
    frame = pd.read_parquet(io.BytesIO(content(system, outputs(run(system, wanted))["sum"])))
    assert frame["age"].tolist() == [70]


def test_a_query_without_rows_gives_an_empty_dataset(system: MemorySystem) -> None:
    wanted = request(
        "hive",
        {"query": "SELECT id FROM range(3) WHERE id > 5"},
        outputs={"none": "dataset", "rows": "int"},
    )
    found = outputs(run(system, wanted))
    assert found["rows"] == 0
    assert list(pd.read_parquet(io.BytesIO(content(system, found["none"]))).columns) == ["id"]


def test_the_servers_words_are_the_error(system: MemorySystem) -> None:
    assert "no_such_table" in user_error(
        run(system, request("hive", {"query": "SELECT * FROM no_such_table"}))
    )


def test_a_statement_without_rows_cannot_fill_a_dataset(system: MemorySystem) -> None:
    wanted = request(
        "hive",
        {"query": "SET spark.sql.shuffle.partitions"},
        outputs={"a": "dataset", "b": "table"},
    )
    assert "one result, but the step declares ['a', 'b']" in user_error(run(system, wanted))


def test_a_list_is_no_parameter(system: MemorySystem) -> None:
    wanted = request("hive", {"query": "SELECT %(ids)s"}, inputs={"ids": [1, 2]})
    assert "parameters are texts, numbers and true or false" in user_error(run(system, wanted))


def test_a_misspelt_input_is_named(system: MemorySystem) -> None:
    wanted = request("hive", {"query": "SELECT %(ids)s"}, inputs={"id": 1})
    assert "%(ids)s" in user_error(run(system, wanted))


def test_a_cancel_ends_the_query_at_the_server(system: MemorySystem, spark_ui: str) -> None:
    wanted = request("hive", {"query": ENDLESS}, outputs={"s": "dataset"})
    system.release(wanted)
    soon(lambda: busy(spark_ui), 30, "the query runs")
    began = time.monotonic()
    system.revoke(wanted.key, CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"
    soon(
        lambda: not busy(spark_ui),
        CANCEL_SECONDS - (time.monotonic() - began),
        "the query has ended",
    )
    print(f"hive: cancelled in {time.monotonic() - began:.2f} s")


def test_a_killed_process_ends_the_query_at_the_server(system: MemorySystem, spark_ui: str) -> None:
    wanted = request("hive", {"query": ENDLESS}, outputs={"s": "dataset"})
    before = {each.pid for each in _workers()}
    system.release(wanted)
    soon(lambda: busy(spark_ui), 30, "the query runs")
    # The warm worker of an earlier step, or a new one: it is the one that has a connection to the server.
    port = int(system.settings.hive.rpartition(":")[2])
    victims = [each for each in _workers() if _talks_to(each, port)]
    assert len(victims) == 1, before
    os.kill(victims[0].pid, signal.SIGKILL)
    assert "SIGKILL" in user_error(system.final(wanted.key))
    soon(lambda: not busy(spark_ui), CANCEL_SECONDS, "the query has ended")


@pytest.fixture
def lost_system(tmp_path: Path) -> Iterator[MemorySystem]:
    with MemorySystem(tmp_path / "lost", hive=f"127.0.0.1:{free_port()}") as running:
        yield running


def test_a_server_that_does_not_answer_is_a_fault_of_the_platform(
    lost_system: MemorySystem,
) -> None:
    began = time.monotonic()
    assert "does not answer" in platform_error(
        run(lost_system, request("hive", {"query": "SELECT 1"}))
    )
    assert time.monotonic() - began < 20


def _workers() -> list[psutil.Process]:
    return [
        each
        for each in psutil.Process().children(recursive=True)
        if "kaon.step.worker" in " ".join(each.cmdline())
    ]


def _talks_to(process: psutil.Process, port: int) -> bool:
    return any(
        each.raddr and each.raddr.port == port for each in process.net_connections(kind="tcp")
    )
