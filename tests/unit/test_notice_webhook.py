"""Webhooks of notices: signed so that others can verify it, and careful about who answers."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from orch.adapters.notice_webhook import WebhookChannel
from orch.channels import Notice
from orch.clock import utc_now
from orch.errors import ChannelRefused, ChannelUnavailable
from tests import receivers
from tests.receivers import WebReceiver

OLD, NEW, OTHER = (letter * 32 for letter in (b"o", b"n", b"x"))


def secret(key: bytes) -> str:
    return "whsec_" + base64.b64encode(key).decode()


def notice() -> Notice:
    data = {"task": "A-1", "text": "is not what it is"}
    texts = ("shop is frozen: “red”", "ünïcode")
    return Notice("msg-1", "frozen", *texts, utc_now(), "https://orch/ui/", data)


@pytest.fixture
def receiver() -> Iterator[WebReceiver]:
    with receivers.web_receiver() as known:
        yield known


def channel(receiver: WebReceiver, *keys: bytes) -> WebhookChannel:
    return WebhookChannel(receiver.url, keys or (NEW,), timeout=5)


def test_an_independent_library_verifies_it_with_the_old_and_the_new_secret(
    receiver: WebReceiver,
) -> None:
    channel(receiver, NEW, OLD).send(notice(), utc_now())
    ((path, headers, body),) = receiver.requests
    assert (path, headers["Content-Type"]) == ("/hooks/orch?to=ops", "application/json")
    for key in (NEW, OLD):
        told = Webhook(secret(key)).verify(body, headers)
        assert told == json.loads(body)
    assert (told["type"], told["data"]["kind"], told["data"]["text"]) == (
        "notice.frozen", "frozen", "ünïcode",
    )  # fmt: skip
    assert (told["data"]["task"], told["data"]["link"]) == ("A-1", "https://orch/ui/")
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(OTHER)).verify(body, headers)


@pytest.mark.parametrize("tamper", ["body", "webhook-id", "webhook-timestamp"])
def test_whatever_is_changed_on_the_way_is_noticed(receiver: WebReceiver, tamper: str) -> None:
    channel(receiver).send(notice(), utc_now())
    ((_, headers, body),) = receiver.requests
    if tamper == "body":
        body = body.replace(b"shop", b"shoq")
    else:
        headers[tamper] = str(int(utc_now().timestamp()) + 7)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret(NEW)).verify(body, headers)


def test_each_try_carries_its_own_time(receiver: WebReceiver) -> None:
    hour_ago = utc_now() - timedelta(hours=1)
    for now in (hour_ago, utc_now()):
        channel(receiver).send(notice(), now)
    first, second = ((headers, body) for _, headers, body in receiver.requests)
    assert first[0]["webhook-id"] == second[0]["webhook-id"] == "msg-1"
    with pytest.raises(WebhookVerificationError, match="too old"):
        Webhook(secret(NEW)).verify(first[1], first[0])
    Webhook(secret(NEW)).verify(second[1], second[0])


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_nobody_is_sent_on_to_another_address(receiver: WebReceiver, status: int) -> None:
    receiver.status, receiver.headers = status, {"Location": receiver.url}
    with pytest.raises(ChannelRefused, match="not followed"):
        channel(receiver).send(notice(), utc_now())
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    ("given", "wait"), [("7", 7), ("999999", 3600), ("-1", 0), ("Wed, 21 Oct 2026", 0), ("٣", 0)]
)
def test_a_busy_receiver_says_for_how_long(receiver: WebReceiver, given: str, wait: int) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": given.encode().decode("latin-1")}
    with pytest.raises(ChannelUnavailable) as busy:
        channel(receiver).send(notice(), utc_now())
    assert busy.value.facts == {"wait": wait}


def test_what_is_answered_is_neither_read_nor_repeated(receiver: WebReceiver) -> None:
    receiver.status, receiver.body = 400, b"the password is hunter2 " * 100_000
    with pytest.raises(ChannelRefused) as refused:
        channel(receiver).send(notice(), utc_now())
    assert refused.value.message == "127.0.0.1 answered 400."


def test_an_answer_that_is_no_http_and_one_that_never_comes_are_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/secret-path"

        def babble() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-hello\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        with pytest.raises(ChannelUnavailable) as wrong:
            WebhookChannel(url, [NEW], timeout=5).send(notice(), utc_now())
        thread.join()
        with pytest.raises(ChannelUnavailable) as silent:
            WebhookChannel(url, [NEW], timeout=0.05).send(notice(), utc_now())
    assert "secret-path" not in f"{wrong.value} {silent.value}"


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(receivers.make_certificate(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(10)

        def greet() -> None:
            connection, _ = server.accept()
            with connection, pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=greet)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}/"
        with pytest.raises(ChannelRefused, match="is no good"):
            WebhookChannel(url, [NEW], timeout=5).send(notice(), utc_now())
        thread.join()
