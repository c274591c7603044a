from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from kaon_service.kafka_security import OPEN, KafkaSecurity, Protocol
from kaon_wire.errors import InvalidValue


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Every variable but the protocol."""
    authority = trustme.CA()
    client = authority.issue_cert("client", common_name="client")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    (tmp_path / "password").write_text("correct horse\n")
    return {
        "KAON_KAFKA_CA": str(tmp_path / "ca.pem"),
        "KAON_KAFKA_USER": "kaon-view",
        "KAON_KAFKA_PASSWORD_FILE": str(tmp_path / "password"),
        "KAON_KAFKA_CERT": str(tmp_path / "client.pem"),
        "KAON_KAFKA_KEY": str(tmp_path / "client.pem"),
    }


def only(files: dict[str, str], protocol: str, *names: str) -> dict[str, str]:
    chosen = {f"KAON_KAFKA_{name}": files[f"KAON_KAFKA_{name}"] for name in names}
    return chosen | {"KAON_KAFKA_SECURITY": protocol}


def test_without_variables_nothing_is_encrypted() -> None:
    assert KafkaSecurity.read({}) == OPEN
    assert OPEN.arguments == {}
    assert OPEN.settings == {}


def test_a_password_travels_over_tls_only(files: dict[str, str]) -> None:
    read = KafkaSecurity.read(only(files, "SASL_SSL", "CA", "USER", "PASSWORD_FILE"))
    assert read.context is not None
    assert read.context.check_hostname
    assert read.arguments == {
        "security_protocol": "SASL_SSL",
        "ssl_context": read.context,
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "kaon-view",
        "sasl_plain_password": "correct horse",
    }
    assert read.settings == {
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": files["KAON_KAFKA_CA"],
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": "kaon-view",
        "sasl.password": "correct horse",
    }
    assert "correct horse" not in repr(read)


def test_a_certificate_needs_no_password(files: dict[str, str]) -> None:
    read = KafkaSecurity.read(only(files, "SSL", "CA", "CERT", "KEY"))
    assert read.protocol is Protocol.SSL
    assert read.arguments == {"security_protocol": "SSL", "ssl_context": read.context}
    assert read.settings == {
        "security.protocol": "SSL",
        "ssl.ca.location": files["KAON_KAFKA_CA"],
        "ssl.certificate.location": files["KAON_KAFKA_CERT"],
        "ssl.key.location": files["KAON_KAFKA_KEY"],
    }


@pytest.mark.parametrize(
    ("protocol", "names", "problem"),
    [
        ("SASL_PLAINTEXT", (), "'SASL_PLAINTEXT' is none of PLAINTEXT, SASL_SSL, SSL"),
        ("SASL_SSL", ("CA", "USER"), "KAON_KAFKA_SECURITY=SASL_SSL needs KAON_KAFKA_PASSWORD_FILE"),
        ("SSL", (), "needs KAON_KAFKA_CERT and KAON_KAFKA_KEY"),
        ("PLAINTEXT", ("CA",), "KAON_KAFKA_CA has no meaning with KAON_KAFKA_SECURITY=PLAINTEXT"),
        ("SSL", ("CERT", "KEY", "USER"), "KAON_KAFKA_USER has no meaning"),
    ],
)
def test_variables_that_do_not_belong_together_are_refused(
    files: dict[str, str], protocol: str, names: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(InvalidValue, match=problem):
        KafkaSecurity.read(only(files, protocol, *names))


def test_a_file_that_cannot_be_used_is_named_at_the_start(
    files: dict[str, str], tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.write_text("")
    password = only(files, "SASL_SSL", "CA", "USER", "PASSWORD_FILE")
    for name, problem in (("PASSWORD_FILE", "is empty"), ("CA", "cannot be used")):
        with pytest.raises(InvalidValue, match=f"KAON_KAFKA_{name}: {empty} {problem}"):
            KafkaSecurity.read(password | {f"KAON_KAFKA_{name}": str(empty)})
    with pytest.raises(InvalidValue, match="KAON_KAFKA_CERT"):
        KafkaSecurity.read(only(files, "SSL", "CERT", "KEY") | {"KAON_KAFKA_KEY": str(empty)})
    with pytest.raises(InvalidValue, match=r"KAON_KAFKA_PASSWORD_FILE: .* cannot be read"):
        KafkaSecurity.read(password | {"KAON_KAFKA_PASSWORD_FILE": str(tmp_path / "nowhere")})
