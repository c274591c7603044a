"""What channels deliver to real servers on this machine, and the file that names them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path

import pytest

from kaon_coordinator.notifications.channel import Message
from kaon_coordinator.notifications.channels import Channels, read_channels
from kaon_coordinator.notifications.email_channel import EmailChannel
from kaon_wire.errors import InvalidValue, Unavailable

from .receivers import mail_server, web_server

KEYS = [b"a" * 32, b"b" * 32]
MESSAGE = Message(
    id="01run-7-ops",
    time_us=1_700_000_000_000_000,
    payload={
        "occasion": "failed",
        "run_id": "01run",
        "workflow": "forecast",
        "tenant": "blue",
        "submitter": "ada",
        "origin": "",
        "path": "",
        "status": "FAILED",
        "error_type": "ValueError",
        "error": "no <rows> & <!channel>\nSubject: other",
    },
    link="https://kaon.example.org/runs/01run",
)


def channels(tmp_path: Path, text: str) -> Channels:
    """The channels of a file with this text."""
    keys = "".join(f"{base64.b64encode(key).decode()}\n" for key in KEYS)
    (tmp_path / "keys").write_text(keys)
    (tmp_path / "password").write_text("hunter2\n")
    file = tmp_path / "channels.toml"
    file.write_text(text.replace("HERE", str(tmp_path)))
    return read_channels(str(file))


def test_a_webhook_is_signed_with_every_key(tmp_path: Path) -> None:
    with web_server() as web:
        text = f'[channels.ops]\nkind = "webhook"\nurl = "{web.url}"\nkey_file = "HERE/keys"\n'
        channels(tmp_path, text).by_name["ops"].deliver(MESSAGE)
    ((headers, body),) = web.posted
    assert json.loads(body) == {
        **MESSAGE.payload,
        "time_us": MESSAGE.time_us,
        "link": MESSAGE.link,
    }
    assert headers["webhook-id"] == MESSAGE.id
    signed = f"{MESSAGE.id}.{headers['webhook-timestamp']}.".encode() + body
    expected = [
        f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}" for key in KEYS
    ]
    assert headers["webhook-signature"].split(" ") == expected


def test_slack_gets_texts_that_mention_nobody(tmp_path: Path) -> None:
    with web_server() as web:
        (tmp_path / "url").write_text(f"{web.url}\n")
        text = '[channels.team]\nkind = "slack"\nurl_file = "HERE/url"\n'
        channels(tmp_path, text).by_name["team"].deliver(MESSAGE)
    text = json.loads(web.posted[0][1])["text"]
    assert text.startswith("*forecast has failed (run 01run)*\n")
    assert "no &lt;rows&gt; &amp; &lt;!channel&gt;" in text
    assert MESSAGE.link in text


def test_mail_goes_to_all_recipients_and_errors_stay_in_its_body(tmp_path: Path) -> None:
    with mail_server() as mail:
        text = (
            f'[channels.mail]\nkind = "email"\nserver = "127.0.0.1:{mail.port}"\nencryption = "none"\n'
            'from = "kaon@example.org"\nto = ["a@example.org", "b@example.org"]\n'
        )
        channels(tmp_path, text).by_name["mail"].deliver(MESSAGE)
    (message,) = mail.messages
    head, _, body = message.partition("\n\n")
    assert "Subject: [kaon] forecast has failed (run 01run)" in head
    assert "Subject: other" not in head
    assert "Subject: other" in body
    assert [line for line in mail.lines if line.startswith("rcpt")] == [
        "rcpt TO:<a@example.org>",
        "rcpt TO:<b@example.org>",
    ]


def test_a_mail_that_one_recipient_does_not_get_counts_as_failed(tmp_path: Path) -> None:
    with mail_server() as mail:
        mail.refuses = frozenset({"b@example.org"})
        channel = EmailChannel(
            host="127.0.0.1",
            port=mail.port,
            sender="kaon@example.org",
            recipients=["a@example.org", "b@example.org"],
            encryption="none",  # type: ignore[arg-type]
        )
        with pytest.raises(Unavailable, match=r"refuses b@example\.org"):
            channel.deliver(MESSAGE)


def test_mail_is_not_sent_in_the_clear_when_it_was_to_be_encrypted(tmp_path: Path) -> None:
    with mail_server() as mail:
        text = (
            f'[channels.mail]\nkind = "email"\nserver = "127.0.0.1:{mail.port}"\nuser = "kaon"\n'
            'password_file = "HERE/password"\nfrom = "kaon@example.org"\nto = "a@example.org"\n'
        )
        with pytest.raises(Unavailable, match="does not take the mail"):
            channels(tmp_path, text).by_name["mail"].deliver(MESSAGE)
    assert mail.messages == []
    assert not any("hunter2" in line or line.startswith("AUTH") for line in mail.lines)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_refusal_names_the_server_and_not_the_secret_address(tmp_path: Path, status: int) -> None:
    with web_server() as web:
        web.status, web.told, web.location = status, b"no_service", web.url
        text = f'[channels.team]\nkind = "slack"\nurl = "{web.url}"\n'
        channel = channels(tmp_path, text).by_name["team"]
        with pytest.raises(Unavailable) as refused:
            channel.deliver(MESSAGE)
    assert f"answers {status}: no_service" in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert len(web.posted) == 1
    with pytest.raises(Unavailable, match="cannot be reached") as away:
        channel.deliver(MESSAGE)
    assert "s3cret" not in str(away.value)


def test_a_channel_is_for_the_tenants_that_it_names(tmp_path: Path) -> None:
    text = (
        'console = "https://kaon.example.org/"\n'
        '[channels.all]\nkind = "slack"\nurl = "https://x"\n'
        '[channels.blue-only]\nkind = "slack"\nurl = "https://x"\ntenants = ["blue"]\n'
    )
    found = channels(tmp_path, text)
    assert found.problem("blue", "blue-only") == found.problem("red", "all") == ""
    assert "there are all" in found.problem("red", "blue-only")
    assert "did you mean blue-only?" in found.problem("blue", "blue-onyl")
    assert "this deployment has none" in read_channels("").problem("blue", "ops")
    assert found.link("01run") == "https://kaon.example.org/runs/01run"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[channels.a]\nkind = "pager"\n', "channels.a.kind: 'pager' is none of webhook, slack"),
        ('[channels.a]\nkind = "slack"\n', "channels.a.url: write either url or url_file"),
        ('[channels.a]\nkind = "slack"\nurl = "ftp://x"\n', "does not begin with https://"),
        ('[channels.A_b]\nkind = "slack"\nurl = "https://x"\n', "channels.A_b: use lower-case"),
        ('[channels.a]\nkind = "slack"\nurl = "https://x"\nuser = "b"\n', "channels.a.user: there"),
        (
            '[channels.a]\nkind = "webhook"\nurl = "https://x"\n',
            "channels.a.key_file: write a text",
        ),
        ('[channels.a]\nkind = "email"\nserver = "x"\n', "channels.a.server: write host:port"),
        (
            '[channels.a]\nkind = "email"\nserver = "x:25"\nfrom = "a@b"\nto = "a, b"\n',
            "'a, b' is no address",
        ),
        (
            '[channels.a]\nkind = "email"\nserver = "x:25"\nfrom = "a@b"\nto = "c@d"\nuser = "u"\n',
            "user and password_file go together",
        ),
        ("[channels", "channels.toml"),
        ('chanels = "x"\n', "chanels: there is no such setting"),
    ],
)
def test_mistakes_in_the_file_are_named_with_their_place(
    tmp_path: Path, text: str, problem: str
) -> None:
    with pytest.raises(InvalidValue, match="KAON_NOTIFICATIONS") as refused:
        channels(tmp_path, text)
    assert problem in str(refused.value)
