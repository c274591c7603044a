"""Spark steps: clients of a real Spark Connect server, HDFS as scratch space, and drivers of their own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from engines import (
    CANCEL_SECONDS,
    bundle,
    busy,
    error,
    outputs,
    platform_error,
    progress,
    run,
    soon,
    user_error,
)
from harness import MemorySystem, request
from processes import alive

from kaon_local.ports import free_port
from kaon_local.spark import SparkServer
from kaonapi.runner.v1 import runner_pb2

pytestmark = pytest.mark.real
CANCELLED = runner_pb2.REVOKE_REASON_CANCELLED

CODE = """
import os
from pathlib import Path

def count(numbers, spark):
    return {"sum": spark.range(numbers).groupBy().sum("id").first()[0]}

def scratch(spark, context):
    spark.range(5).write.parquet(context.scratch + "/numbers")
    return {"place": context.scratch, "count": spark.read.parquet(context.scratch + "/numbers").count()}

def wrong(spark):
    spark.sql("SELECT * FROM no_such_table").collect()

def own_setting(spark):
    return {"value": spark.conf.get("spark.sql.shuffle.partitions")}

def kind(spark):
    return {"module": type(spark).__module__}

def copies(spark):
    # As a client of HDFS does: only then its files are read.
    spark.sparkContext._jvm.org.apache.hadoop.hdfs.HdfsConfiguration.init()
    return {"value": spark.sparkContext._jsc.hadoopConfiguration().get("dfs.replication", "unset")}

def endless(path, spark):
    Path(path).write_text(str(os.getpid()))
    spark.range(0, 100000000000000, 1, 8).selectExpr("sum(id % 7)").collect()
"""
# What stands beside the workflow may be called like modules of Python: the step starts nonetheless.
SHADOWS = dict.fromkeys(
    ("types.py", "token.py", "signal.py", "json.py"), "raise AssertionError(__file__)"
)
SCRIPT = """
import json
json.dump({"rows": spark.range(7).count()}, open(context.directory / "outputs" / "found.json", "w"))
"""


@pytest.fixture
def system(spark_system: MemorySystem) -> MemorySystem:
    return spark_system


@pytest.fixture
def code(system: MemorySystem) -> str:
    return bundle(system, {"jobs.py": CODE, "script.py": SCRIPT, **SHADOWS})


def test_the_server_has_taken_the_archive_of_its_classes(spark: SparkServer) -> None:
    assert not spark.notice


def test_a_function_gets_a_session_of_the_server(system: MemorySystem, code: str) -> None:
    wanted = request("spark", {"entry": "jobs:kind"}, outputs={"module": "string"}, bundle=code)
    began = time.monotonic()
    assert outputs(run(system, wanted)) == {"module": "pyspark.sql.connect.session"}
    print(f"spark: a step with a session in {time.monotonic() - began:.2f} s")


def test_a_function_gives_its_outputs(system: MemorySystem, code: str) -> None:
    wanted = request(
        "spark",
        {"entry": "jobs:count"},
        inputs={"numbers": 101},
        outputs={"sum": "int"},
        bundle=code,
    )
    assert outputs(run(system, wanted)) == {"sum": 5050}


def test_scratch_space_is_on_hdfs_and_the_leases_own(system: MemorySystem, code: str) -> None:
    found = []
    for _ in range(2):
        wanted = request(
            "spark",
            {"entry": "jobs:scratch"},
            outputs={"place": "string", "count": "int"},
            bundle=code,
        )
        found.append(outputs(run(system, wanted)))
    assert [each["count"] for each in found] == [5, 5]
    assert len({each["place"] for each in found}) == 2
    assert all(each["place"].startswith("hdfs://") for each in found)


def test_a_script_writes_its_outputs_as_files(system: MemorySystem, code: str) -> None:
    wanted = request("spark", {"file": "script.py"}, outputs={"found": "map"}, bundle=code)
    assert outputs(run(system, wanted)) == {"found": {"rows": 7}}


def test_settings_are_the_sessions_own(system: MemorySystem, code: str) -> None:
    for partitions in ("3", "5"):
        wanted = request(
            "spark",
            {"entry": "jobs:own_setting", "conf": {"spark.sql.shuffle.partitions": partitions}},
            outputs={"value": "string"},
            bundle=code,
        )
        assert outputs(run(system, wanted)) == {"value": partitions}


def test_an_error_of_the_query_is_the_users(system: MemorySystem, code: str) -> None:
    assert "no_such_table" in user_error(
        run(system, request("spark", {"entry": "jobs:wrong"}, bundle=code))
    )


def test_a_cancel_ends_process_and_query(
    system: MemorySystem, code: str, spark_ui: str, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    wanted = request(
        "spark", {"entry": "jobs:endless"}, inputs={"path": str(pid_file)}, bundle=code
    )
    system.release(wanted)
    soon(lambda: busy(spark_ui), 60, "the query runs")
    soon(lambda: any("tasks" in text for text in progress(system, wanted)), 30, "progress is told")
    began = time.monotonic()
    system.revoke(wanted.key, CANCELLED)
    assert system.final(wanted.key).WhichOneof("event") == "stopped"
    assert not alive(int(pid_file.read_text()))
    soon(
        lambda: not busy(spark_ui),
        CANCEL_SECONDS - (time.monotonic() - began),
        "the query has ended",
    )
    print(f"spark: cancelled in {time.monotonic() - began:.2f} s")


def test_a_killed_client_ends_the_query_at_the_server(
    system: MemorySystem, code: str, spark_ui: str, tmp_path: Path
) -> None:
    pid_file = tmp_path / "pid"
    wanted = request(
        "spark", {"entry": "jobs:endless"}, inputs={"path": str(pid_file)}, bundle=code
    )
    system.release(wanted)
    soon(lambda: busy(spark_ui), 60, "the query runs")
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    assert error(system.final(wanted.key)).type == "Signal"
    soon(lambda: not busy(spark_ui), CANCEL_SECONDS, "the query has ended")


@pytest.fixture(scope="module")
def lost_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MemorySystem]:
    url = f"sc://127.0.0.1:{free_port()}"
    with MemorySystem(tmp_path_factory.mktemp("lost"), spark_connect=url) as running:
        yield running


def test_a_server_that_does_not_answer_is_a_fault_of_the_platform(
    lost_system: MemorySystem,
) -> None:
    code = bundle(lost_system, {"jobs.py": CODE})
    began = time.monotonic()
    assert "does not answer" in platform_error(
        run(lost_system, request("spark", {"entry": "jobs:kind"}, bundle=code))
    )
    assert time.monotonic() - began < 30


def test_a_classic_driver_lives_in_the_steps_process(lost_system: MemorySystem) -> None:
    code = bundle(lost_system, {"jobs.py": CODE})
    wanted = request(
        "spark",
        {"entry": "jobs:kind", "driver": "classic", "conf": {"spark.master": "local[1]"}},
        outputs={"module": "string"},
        bundle=code,
    )
    began = time.monotonic()
    assert outputs(run(lost_system, wanted)) == {"module": "pyspark.sql.session"}
    print(f"spark: a step with a driver of its own in {time.monotonic() - began:.2f} s")


def copies(system: MemorySystem, **conf: str) -> str:
    """Return how many copies of a file a classic driver asks HDFS for."""
    wanted = request(
        "spark",
        {"entry": "jobs:copies", "driver": "classic", "conf": {"spark.master": "local[1]", **conf}},
        outputs={"value": "string"},
        bundle=bundle(system, {"jobs.py": CODE}),
    )
    return str(outputs(run(system, wanted))["value"])


def test_a_classic_driver_takes_the_number_of_copies_from_its_cluster(
    lost_system: MemorySystem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = "<configuration><property><name>dfs.replication</name><value>5</value></property></configuration>"
    (tmp_path / "hdfs-site.xml").write_text(told)
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    assert copies(lost_system) == "5"
    assert copies(lost_system, **{"spark.hadoop.dfs.replication": "2"}) == "2"
