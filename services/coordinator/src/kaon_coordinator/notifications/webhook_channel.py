"""Webhooks of any receiver, signed as Standard Webhooks describes (standardwebhooks.com)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kaon_coordinator.notifications.channel import Channel, Message
from kaon_coordinator.notifications.posting import post
from kaon_wire import canonical


@dataclass(frozen=True, kw_only=True)
class WebhookChannel(Channel):
    """Posts the payload as JSON, with the headers webhook-id, webhook-timestamp and webhook-signature.

    The signature is the HMAC with SHA-256 over "id.timestamp.body", one for each key: receivers accept any of them, so that keys
    rotate.
    """

    url: str
    # Newest first.
    keys: Sequence[bytes]
    ca: Path | None = None
    now: Callable[[], float] = time.time

    def deliver(self, message: Message) -> None:
        """Post the message; see `Channel`."""
        payload = {**message.payload, "time_us": message.time_us, "link": message.link}
        body = canonical.dumps(payload).encode()
        stamp = str(int(self.now()))
        signed = b".".join((message.id.encode(), stamp.encode(), body))
        headers = {
            "webhook-id": message.id,
            "webhook-timestamp": stamp,
            "webhook-signature": " ".join(_signature(key, signed) for key in self.keys),
        }
        post(self.url, body, headers, self.ca)


def _signature(key: bytes, signed: bytes) -> str:
    return f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"
