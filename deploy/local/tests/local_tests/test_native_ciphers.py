"""What a closed broker is told of the native library for AES."""

from __future__ import annotations

from pathlib import Path

from kaon_local.secure.native_ciphers import has_native_ciphers, jvm_options, use_native_ciphers


def test_a_broker_is_told_of_the_library_where_there_is_one(tmp_path: Path) -> None:
    assert not has_native_ciphers(tmp_path)
    (tmp_path / "AmazonCorrettoCryptoProvider-2.4.1-linux-x86_64.jar").touch()
    assert has_native_ciphers(tmp_path)


def test_the_library_comes_first_and_an_open_broker_hears_nothing(tmp_path: Path) -> None:
    assert jvm_options(tmp_path) == ()
    assert use_native_ciphers(tmp_path) == {"ssl.cipher.suites": "TLS_AES_128_GCM_SHA256"}
    file = tmp_path / "security.properties"
    first, second, *_ = file.read_text().splitlines()
    assert first.startswith("security.provider.1=com.amazon.corretto.")
    assert second == "security.provider.2=SUN"
    assert f"-Djava.security.properties={file}" in jvm_options(tmp_path)
