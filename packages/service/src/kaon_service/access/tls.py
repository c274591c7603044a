"""Certificates of servers, which are read again when their files change."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from kaon_service.access.access_settings import AccessSettings
from kaon_service.access.watched import Watched
from kaon_wire.errors import InvalidValue


@dataclass(frozen=True, kw_only=True)
class _Files:
    certificate: Path
    key: Path
    client_ca: Path | None

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Read the files.

        Raises:
            InvalidValue: One is missing, or the key is not that of the certificate.
        """
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
            pair = (self.key.read_bytes(), self.certificate.read_bytes())
            authorities = None if self.client_ca is None else self.client_ca.read_bytes()
        except (OSError, ValueError) as error:
            raise InvalidValue(
                f"KAON_TLS_CERT, KAON_TLS_KEY or KAON_TLS_CLIENT_CA cannot be used: {error}"
            ) from error
        return grpc.ssl_server_certificate_configuration([pair], authorities)


def watched_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what a web server shows its certificate with: each new connection gets the files as they are then.

    Raises:
        InvalidValue: The files are missing, or do not fit together.
    """

    def read() -> ssl.SSLContext:
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
        except OSError as error:
            raise InvalidValue(f"KAON_TLS_CERT or KAON_TLS_KEY cannot be used: {error}") from error
        return context

    watched = Watched([certificate, key], read)

    def choose(connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        connection.context = watched.get()

    first = watched.get()
    # It is called for each handshake, whether a name is asked for or not.
    first.sni_callback = choose
    return first


def server_credentials(settings: AccessSettings) -> grpc.ServerCredentials | None:
    """Return the credentials with which a service listens; None without TLS.

    Raises:
        InvalidValue: The files are missing, or do not fit together.
    """
    if settings.tls and settings.certificate is None:
        raise InvalidValue("KAON_TLS: on needs KAON_TLS_CERT and KAON_TLS_KEY")
    if not settings.encrypts:
        return None
    assert settings.certificate is not None
    assert settings.key is not None
    files = _Files(certificate=settings.certificate, key=settings.key, client_ca=settings.client_ca)
    paths = [files.certificate, files.key, *filter(None, [files.client_ca])]
    watched = Watched(paths, files.read)
    return grpc.dynamic_ssl_server_credentials(
        watched.get(), watched.get, require_client_authentication=files.client_ca is not None
    )
