"""Notices by mail: TLS and login, one message for all, and no header but our own."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
import structlog.testing

from orch.adapters.notice_mail import MailChannel
from orch.channels import Notice
from orch.errors import ChannelRefused
from orch.notice_settings import mail_server
from tests import receivers

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
TO = ["ann@example.org", "ops@example.org"]
LOGIN = ("orch", "p@ss:w/rd")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return receivers.make_certificate(tmp_path_factory.mktemp("mail"))


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    """The mail server tells at length of sessions that end before it expects it."""
    caplog.set_level(logging.CRITICAL, "mail.log")


def notice(title: str = "A-1 is parked", link: str = "https://orch.example.org/ui/") -> Notice:
    return Notice("u-1", "parked", title, "It is parked.", NOW, link)


def channel(url: str, trusted: Path | None = None) -> MailChannel:
    made = MailChannel(mail_server(url), "orch@example.org", TO, timeout=5)
    if trusted is not None:
        made.trust.load_verify_locations(trusted)
    return made


def test_one_message_reaches_all_with_the_headers_it_needs() -> None:
    with receivers.mail_receiver() as receiver:
        channel(f"smtp://127.0.0.1:{receiver.port}").send(notice(), NOW)
    ((sender, to, _),) = receiver.envelopes
    assert (sender, to) == ("orch@example.org", TO)
    (message,) = receiver.messages
    assert message["Message-ID"] == "<u-1@example.org>"
    assert (message["Subject"], message["Auto-Submitted"], message["X-Orch-Kind"]) == (
        "[orch] A-1 is parked", "auto-generated", "parked",
    )  # fmt: skip
    assert message["Date"].datetime == NOW
    assert message.get_content_type() == "text/plain"
    assert message.get_content().split() == ["It", "is", "parked.", "https://orch.example.org/ui/"]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x85", "\u2028"])
def test_a_title_adds_no_header_and_no_receiver(end: str) -> None:
    with receivers.mail_receiver() as receiver:
        title = f"x{end}Bcc: spy@example.org{end}{end}body"
        channel(f"smtp://127.0.0.1:{receiver.port}").send(notice(title), NOW)
    ((_, to, _),) = receiver.envelopes
    (message,) = receiver.messages
    assert to == TO
    assert message["Bcc"] is None
    assert message["Subject"] == "[orch] x Bcc: spy@example.org body"


@pytest.mark.parametrize("login", [None, LOGIN])
def test_starttls_comes_before_everything_that_is_said(
    certificate: Path, login: tuple[str, str] | None
) -> None:
    with receivers.mail_receiver(certificate, login) as receiver:
        user = "orch:p%40ss%3Aw%2Frd@" if login else ""
        url = f"smtp+starttls://{user}127.0.0.1:{receiver.port}"
        channel(url, certificate).send(notice(), NOW)
    assert len(receiver.envelopes) == 1


def test_tls_from_the_first_byte(certificate: Path) -> None:
    with receivers.mail_receiver(certificate, at_once=True) as receiver:
        channel(f"smtps://127.0.0.1:{receiver.port}", certificate).send(notice(), NOW)
    assert len(receiver.envelopes) == 1


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
def test_a_server_nobody_vouches_for_gets_no_password(certificate: Path, scheme: str) -> None:
    with receivers.mail_receiver(certificate, at_once=scheme == "smtps") as receiver:
        url = f"{scheme}://orch:hunter2@127.0.0.1:{receiver.port}"
        with pytest.raises(ChannelRefused, match="certificate") as refused:
            channel(url).send(notice(), NOW)
    assert "hunter2" not in str(refused.value)
    assert receiver.envelopes == []


def test_a_server_without_starttls_gets_nothing() -> None:
    with receivers.mail_receiver() as receiver:
        careful = channel(f"smtp+starttls://127.0.0.1:{receiver.port}")
        with pytest.raises(ChannelRefused, match="does not offer"):
            careful.send(notice(), NOW)
    assert receiver.envelopes == []


def test_a_wrong_password_is_told_without_repeating_it(certificate: Path) -> None:
    with receivers.mail_receiver(certificate, LOGIN) as receiver:
        url = f"smtp+starttls://orch:hunter2@127.0.0.1:{receiver.port}"
        with pytest.raises(ChannelRefused, match="535") as refused:
            channel(url, certificate).send(notice(), NOW)
    assert "hunter2" not in str(refused.value)


@pytest.fixture
def every_level() -> Iterator[None]:
    """Whatever level a test before this one has set for this process, all is logged."""
    before = structlog.get_config()
    structlog.reset_defaults()
    yield
    structlog.configure(**before)


@pytest.mark.usefixtures("every_level")
def test_one_receiver_that_is_refused_keeps_it_from_nobody_else() -> None:
    with receivers.mail_receiver() as receiver, structlog.testing.capture_logs() as logged:
        receiver.answer_to[TO[1]] = "550 unknown"
        channel(f"smtp://127.0.0.1:{receiver.port}").send(notice(), NOW)
    assert [to for _, to, _ in receiver.envelopes] == [TO[:1]]
    assert [each["event"] for each in logged] == ["notice.some_refused"]


def test_when_all_are_refused_it_is_not_sent() -> None:
    with receivers.mail_receiver() as receiver:
        receiver.answer_to.update(dict.fromkeys(TO, "550 unknown\x1b[31m"))
        with pytest.raises(ChannelRefused, match="550 unknown") as refused:
            channel(f"smtp://127.0.0.1:{receiver.port}").send(notice(), NOW)
    assert "\x1b" not in str(refused.value)
