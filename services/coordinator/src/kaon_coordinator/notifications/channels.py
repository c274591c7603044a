"""The channels of a deployment, from the file KAON_NOTIFICATIONS."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

from kaon_coordinator.notifications.channel import Channel
from kaon_coordinator.notifications.email_channel import EmailChannel, Encryption
from kaon_coordinator.notifications.slack_channel import SlackChannel
from kaon_coordinator.notifications.webhook_channel import WebhookChannel
from kaon_service.toml_table import Table
from kaon_wire.definitions.notifications import CHANNEL_NAME, CHANNEL_NAME_RULE
from kaon_wire.errors import InvalidValue
from kaon_wire.key_files import read_keys, read_password
from kaon_wire.texts import meant

VARIABLE = "KAON_NOTIFICATIONS"
# Entry points that make channels of kinds of their own: a function of the channel's `Table` that returns a `Channel`.
GROUP = "kaon.notification_channels"


@dataclass(frozen=True, kw_only=True)
class Channels:
    """All channels, and who may name them."""

    by_name: Mapping[str, Channel] = field(default_factory=dict)
    # The tenants of a channel that is not for all.
    tenants: Mapping[str, frozenset[str]] = field(default_factory=dict)
    # Address of the console, for links; empty: there are none.
    console: str = ""
    # False: workflows may name channels that are not here, and nobody is told. For systems of one person.
    strict: bool = True

    def problem(self, tenant: str, name: str) -> str:
        """Return why a workflow of the tenant cannot name a channel; empty when it can."""
        if not self.strict:
            return ""
        known = [each for each in self.by_name if tenant in self.tenants.get(each, (tenant,))]
        if name in known:
            return ""
        if not known:
            return f"notifications: there is no channel {name!r}: this deployment has none for the tenant ({VARIABLE})"
        hint = meant(name, known, most=1) or f"there are {', '.join(sorted(known))}"
        return f"notifications: there is no channel {name!r}; {hint}"

    def link(self, run_id: str) -> str:
        """Return the address of a run's page; empty when no console is named."""
        return f"{self.console}/runs/{run_id}" if self.console else ""


def read_channels(path: str) -> Channels:
    """Read the file; an empty path means that there are no channels.

    Raises:
        InvalidValue: It is missing or malformed; the message names the place.
    """
    if not path:
        return Channels()
    try:
        document = Table(tomllib.loads(Path(path).read_text(encoding="utf-8")), "")
        console = document.text("console", "").rstrip("/")
        if console:
            _checked(console, document.at("console"))
        tables = document.table("channels")
        named = {name: tables.table(name) for name in tables.names()}
        document.end()
        tenants = {name: frozenset(table.texts("tenants")) for name, table in named.items()}
        return Channels(
            by_name={name: _channel(name, table) for name, table in named.items()},
            tenants={name: found for name, found in tenants.items() if found},
            console=console,
        )
    except (OSError, ValueError, InvalidValue) as error:
        raise InvalidValue(f"{VARIABLE}: {path}: {error}") from error


def _channel(name: str, table: Table) -> Channel:
    if not CHANNEL_NAME.fullmatch(name):
        raise InvalidValue(f"{table.place}: use {CHANNEL_NAME_RULE} for the name")
    kind = table.text("kind")
    channel = _of_kind(kind, table)
    table.end()
    return channel


def _of_kind(kind: str, table: Table) -> Channel:
    match kind:
        case "webhook":
            return WebhookChannel(
                url=_url(table), keys=_keys(table), ca=_path(table.text("ca", ""))
            )
        case "slack":
            return SlackChannel(url=_url(table), ca=_path(table.text("ca", "")))
        case "email":
            return _email(table)
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in found:
        known = ", ".join(["webhook", "slack", "email", *sorted(found)])
        raise InvalidValue(f"{table.at('kind')}: {kind!r} is none of {known}")
    channel = found[kind].load()(table)
    if not isinstance(channel, Channel):
        raise InvalidValue(f"{table.at('kind')}: {found[kind].value} makes no {Channel.__name__}")
    return channel


def _email(table: Table) -> EmailChannel:
    host, colon, port = table.text("server").rpartition(":")
    if not colon or not port.isdecimal():
        raise InvalidValue(f"{table.at('server')}: write host:port, such as mail.example.org:587")
    encryption = table.text("encryption", Encryption.STARTTLS)
    if encryption not in set(Encryption):
        raise InvalidValue(
            f"{table.at('encryption')}: {encryption!r} is none of {', '.join(Encryption)}"
        )
    user, file = table.text("user", ""), table.text("password_file", "")
    if bool(user) != bool(file):
        raise InvalidValue(f"{table.at('user')}: user and password_file go together")
    recipients = _addresses(table, table.texts("to"), "to")
    if not recipients:
        raise InvalidValue(f"{table.at('to')}: name at least one address")
    return EmailChannel(
        host=host,
        port=int(port),
        sender=_addresses(table, [table.text("from")], "from")[0],
        recipients=recipients,
        encryption=Encryption(encryption),
        user=user,
        password=read_password(file, table.at("password_file")) if file else "",
        ca=_path(table.text("ca", "")),
    )


def _addresses(table: Table, texts: Iterable[str], name: str) -> list[str]:
    found = list(texts)
    for text in found:
        if not re.fullmatch(r"[^\s@<>,]+@[^\s@<>,]+", text):
            raise InvalidValue(f"{table.at(name)}: {text!r} is no address of e-mail")
    return found


def _url(table: Table) -> str:
    """Return the URL that stands in the file, or in a file of its own, since Slack's URLs are secrets."""
    url, file = table.text("url", ""), table.text("url_file", "")
    if bool(url) == bool(file):
        raise InvalidValue(f"{table.at('url')}: write either url or url_file")
    return _checked(url or read_password(file, table.at("url_file")), table.at("url"))


def _checked(url: str, place: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise InvalidValue(f"{place}: the address does not begin with https:// or http://")
    return url


def _keys(table: Table) -> tuple[bytes, ...]:
    file = table.text("key_file")
    return read_keys(file, table.at("key_file"))


def _path(text: str) -> Path | None:
    return Path(text) if text else None
