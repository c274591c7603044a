"""Incoming webhooks of Slack, and of what understands their messages (Mattermost, Rocket.Chat)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from kaon_coordinator.notifications.channel import Channel, Message
from kaon_coordinator.notifications.posting import post


@dataclass(frozen=True, kw_only=True)
class SlackChannel(Channel):
    """Posts title and text. Texts of workflows are shown as they are: they mention nobody and make no links."""

    url: str
    ca: Path | None = None

    def deliver(self, message: Message) -> None:
        """Post the message; see `Channel`."""
        body = {"text": f"*{_plain(message.title)}*\n{_plain(message.text)}"}
        post(self.url, json.dumps(body).encode(), {}, self.ca)


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
