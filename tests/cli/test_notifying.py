"""Notices on the command line, through real receivers: told, tested, listed, tried again."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import structlog.testing
from standardwebhooks.webhooks import Webhook

from tests import receivers
from tests.cli.conftest import CommandLine
from tests.receivers import MailReceiver, WebReceiver

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()


@dataclass
class Desk:
    """The command line, and who receives what it tells."""

    orch: CommandLine
    hook: WebReceiver
    mail: MailReceiver

    def deliver(self) -> list[tuple[int, int, int]]:
        """Read on and send; per channel how many were sent, put off, given up."""
        rows = self.orch.facts("notify", "deliver")
        return [(row["sent"], row["failed"], row["given_up"]) for row in rows]


@pytest.fixture
def desk(orch: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with receivers.web_receiver() as hook, receivers.mail_receiver() as mail:
        given = {
            "WEBHOOK_URL": hook.url,
            "WEBHOOK_SECRET": SECRET,
            "SMTP_URL": f"smtp://127.0.0.1:{mail.port}",
            "MAIL_FROM": "orch@example.org",
            "MAIL_TO": "ann@example.org,ops@example.org",
        }
        for name, value in given.items():
            monkeypatch.setenv(f"ORCH_NOTIFY_{name}", value)
        monkeypatch.setenv("ORCH_WEB_URL", "https://orch.example.org/")
        with structlog.testing.capture_logs():
            yield Desk(orch, hook, mail)


def test_a_freeze_reaches_the_webhook_signed_and_the_mailbox(desk: Desk) -> None:
    assert desk.deliver() == [(0, 0, 0)] * 2
    desk.orch.fact("freeze", "shop", "--reason", "main is red")
    assert desk.deliver() == [(1, 0, 0)] * 2
    ((_, headers, body),) = desk.hook.requests
    told = Webhook(SECRET).verify(body, headers)
    assert (told["type"], told["data"]["repo"], told["data"]["reason"]) == (
        "notice.frozen", "shop", "main is red",
    )  # fmt: skip
    assert told["data"]["link"] == "https://orch.example.org/ui/repos/shop"
    (message,) = desk.mail.messages
    assert message["Subject"] == "[orch] shop is frozen: main is red"
    assert "https://orch.example.org/ui/repos/shop" in message.get_content()
    assert desk.deliver() == [(0, 0, 0)] * 2
    states = [(row["channel"], row["state"]) for row in desk.orch.facts("notify", "list")]
    assert states == [("mail", "sent"), ("webhook", "sent")]
    assert "Nothing waits to be sent" in desk.orch.told("notify", "list")


def test_what_could_not_be_sent_is_listed_and_sent_on_request_under_the_same_id(
    desk: Desk,
) -> None:
    desk.deliver()
    desk.hook.status = 500
    desk.orch.fact("freeze", "shop", "--reason", "r")
    assert desk.deliver() == [(0, 1, 0), (1, 0, 0)]
    assert desk.deliver() == [(0, 0, 0)] * 2  # its time has not come
    (row,) = desk.orch.facts("notify", "list", "--state", "waiting")
    assert (row["channel"], row["last_error"]) == ("webhook", "127.0.0.1 answered 500.")
    assert "1 wait for webhook." in desk.orch.told("notify", "list")
    desk.hook.status = 204
    assert desk.orch.fact("notify", "retry", str(row["id"]))["changed"]
    assert desk.deliver() == [(1, 0, 0), (0, 0, 0)]
    first, second = (headers["webhook-id"] for _, headers, _ in desk.hook.requests)
    assert first == second == row["uid"]
    assert "is sent already" in desk.orch.told("notify", "retry", str(row["id"]))


def test_the_test_goes_through_both_and_says_which_failed(desk: Desk) -> None:
    assert [row["ok"] for row in desk.orch.facts("notify", "test")] == [True, True]
    ((_, headers, body),) = desk.hook.requests
    assert Webhook(SECRET).verify(body, headers)["type"] == "notice.test"
    assert desk.mail.messages[0]["Subject"] == "[orch] A test of orch's notices"
    desk.mail.answer = "554 not you"
    failed = desk.orch("notify", "test")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout.splitlines()[1])["error"] == "127.0.0.1 refused: 554 not you."
    assert "No notice goes out by mail." in failed.stderr


def test_orders_that_mean_nothing_are_refused(orch: CommandLine) -> None:
    assert orch("notify", "test").exit_code == 1
    assert orch("notify", "retry").exit_code == 2
    assert orch("notify", "retry", "1", "--failed").exit_code == 2
    assert orch("notify", "retry", "1").exit_code == 3
    assert orch.facts("notify", "retry", "--failed") == []
    assert orch.facts("notify", "deliver") == []
