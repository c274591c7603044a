"""What a closed broker is told of the native library for AES."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaon_local import Supervisor
from kaon_local import kafka as broker
from kaon_local.secure import native_ciphers
from kaon_local.secure.kafka_accounts import KafkaAccounts
from kaon_local.secure.native_ciphers import (
    fallback,
    has_native_ciphers,
    jvm_options,
    use_native_ciphers,
)
from kaon_wire.topics import Catalogue

JAR = "AmazonCorrettoCryptoProvider-2.4.1-linux-x86_64.jar"


def test_a_broker_is_told_of_the_library_where_there_is_one(tmp_path: Path) -> None:
    assert not has_native_ciphers(tmp_path)
    (tmp_path / JAR).touch()
    assert has_native_ciphers(tmp_path)


def test_the_library_comes_first_and_an_open_broker_hears_nothing(tmp_path: Path) -> None:
    assert jvm_options(tmp_path) == ()
    assert use_native_ciphers(tmp_path) == {"ssl.cipher.suites": "TLS_AES_128_GCM_SHA256"}
    file = tmp_path / "security.properties"
    first, second, *_ = file.read_text().splitlines()
    assert first.startswith("security.provider.1=com.amazon.corretto.")
    assert second == "security.provider.2=SUN"
    assert f"-Djava.security.properties={file}" in jvm_options(tmp_path)


def test_a_broker_without_the_library_says_what_it_does_in_its_place(tmp_path: Path) -> None:
    maps = tmp_path / "maps"
    maps.write_text("7f0 r-xp /usr/lib/libc.so.6\n")
    missing = fallback(tmp_path, maps)
    assert f"no native library for AES among {tmp_path}" in missing
    assert "ChaCha20" in missing
    (tmp_path / JAR).touch()
    unloaded = fallback(tmp_path, maps)
    assert "has not loaded the native library" in unloaded
    assert unloaded != missing
    maps.write_text("7f0 r-xp /state/libamazonCorrettoCryptoProvider.so\n")
    assert fallback(tmp_path, maps) == ""


@pytest.mark.real
def test_the_lines_of_a_start_and_the_brokers_log_tell_that_the_library_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (broker, native_ciphers):
        monkeypatch.setattr(module, "has_native_ciphers", lambda libs: False)
    catalogue = Catalogue(run_partitions=1, pool_partitions=1, runner_partitions=1)
    accounts = KafkaAccounts(directory=tmp_path / "accounts", catalogue=catalogue)
    said: list[str] = []
    supervisor = Supervisor(report=said.append)
    kafka = supervisor.add(
        broker.Kafka(broker.KafkaConfig(state=tmp_path / "kafka", closed=accounts))
    )
    supervisor.start()
    try:
        up, told = said
        assert up.startswith("kafka")
        assert "NOTE: no native library for AES" in told
        assert f"kafka: {kafka.notice}" in kafka.log.read_text()
    finally:
        supervisor.stop()
