"""E-mail by SMTP."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from enum import StrEnum
from pathlib import Path

from kaon_coordinator.notifications.channel import Channel, Message
from kaon_wire.errors import Unavailable

_SECONDS = 10.0


class Encryption(StrEnum):
    """How the connection to the server is encrypted."""

    # From the first byte.
    TLS = "tls"
    # After a greeting; the server must offer it.
    STARTTLS = "starttls"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class EmailChannel(Channel):
    """Sends one plain text message to all recipients."""

    host: str
    port: int
    sender: str
    recipients: Sequence[str]
    encryption: Encryption = Encryption.STARTTLS
    # Empty: without a login.
    user: str = ""
    password: str = ""
    ca: Path | None = None

    def deliver(self, message: Message) -> None:
        """Send the message; see `Channel`."""
        mail = EmailMessage()
        mail["Subject"] = f"[kaon] {message.title}"
        mail["From"], mail["To"] = self.sender, ", ".join(self.recipients)
        mail["Date"] = formatdate(message.time_us / 1_000_000)
        # A mail server may drop one that it has seen.
        mail["Message-ID"] = f"<{message.id}@{self.sender.rpartition('@')[2]}>"
        mail.set_content(f"{message.title}\n\n{message.text}\n")
        try:
            with self._connection() as connection:
                if self.user:
                    connection.login(self.user, self.password)
                refused = connection.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(f"{self.host}:{self.port} does not take the mail: {error}") from None
        if refused:
            raise Unavailable(f"{self.host}:{self.port} refuses {', '.join(sorted(refused))}")

    def _connection(self) -> smtplib.SMTP:
        context = ssl.create_default_context(cafile=self.ca)
        if self.encryption is Encryption.TLS:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=_SECONDS, context=context)
        connection = smtplib.SMTP(self.host, self.port, timeout=_SECONDS)
        if self.encryption is Encryption.STARTTLS:
            try:
                connection.starttls(context=context)
            except BaseException:
                connection.close()
                raise
        return connection
