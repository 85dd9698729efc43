"""What every Channel promises, on the fake and with real receivers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any, Protocol

import pytest

from orch.adapters.memory_channel import MemoryChannel
from orch.adapters.notice_mail import MailChannel
from orch.adapters.notice_webhook import WebhookChannel
from orch.channels import Channel, Notice
from orch.errors import ChannelRefused, ChannelUnavailable
from orch.notice_settings import mail_server
from tests import receivers

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOSTILE = "naïve “title”\r\nBcc: spy@example.org\r\n\r\n<b>.\x1b[31m\u202e"
TEXT = "first\n.\n\nFrom here: ünïcode 🙂 <script>alert(1)</script>\n.."


class Post(Protocol):
    """The port, what arrived, and ways to make its receiver away or unwilling."""

    @property
    def channel(self) -> Channel: ...
    def arrived(self) -> list[tuple[str, str, str]]:
        """Id, title and text of each."""
        ...

    def busy(self) -> None: ...
    def refuse(self) -> None: ...
    def leave(self) -> None: ...


class MemoryPost:
    def __init__(self, stack: ExitStack) -> None:
        self.channel = MemoryChannel()

    def arrived(self) -> list[tuple[str, str, str]]:
        return [(each.uid, each.title, each.text) for each in self.channel.sent]

    def busy(self) -> None:
        self.channel.away = True

    leave = busy

    def refuse(self) -> None:
        self.channel.refusing = True


class WebPost:
    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.receiver = stack.enter_context(receivers.web_receiver())
        self.channel = WebhookChannel(self.receiver.url, [b"k" * 24], timeout=5)

    def arrived(self) -> list[tuple[str, str, str]]:
        found = []
        for _, headers, body in self.receiver.requests:
            told: dict[str, Any] = json.loads(body)["data"]
            found.append((headers["webhook-id"], told["title"], told["text"]))
        return found

    def busy(self) -> None:
        self.receiver.status = 503

    def refuse(self) -> None:
        self.receiver.status = 403

    def leave(self) -> None:
        self.stack.close()


class MailPost:
    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack
        self.receiver = stack.enter_context(receivers.mail_receiver())
        server = mail_server(f"smtp://127.0.0.1:{self.receiver.port}")
        to = ["ann@example.org", "ops@example.org"]
        self.channel = MailChannel(server, "orch@example.org", to, timeout=5)

    def arrived(self) -> list[tuple[str, str, str]]:
        return [
            (
                each["Message-ID"].strip("<>").partition("@")[0],
                each["Subject"].removeprefix("[orch] "),
                each.get_content().replace("\r\n", "\n").removesuffix("\n"),
            )
            for each in self.receiver.messages
        ]

    def busy(self) -> None:
        self.receiver.answer = "451 later"

    def refuse(self) -> None:
        self.receiver.answer = "554 never"

    def leave(self) -> None:
        self.stack.close()


@pytest.fixture(params=[MemoryPost, WebPost, MailPost], ids=["memory", "webhook", "mail"])
def post(request: pytest.FixtureRequest) -> Iterator[Post]:
    with ExitStack() as stack:
        yield request.param(stack)


def notice(**more: Any) -> Notice:
    given = {"uid": "u-1", "kind": "parked", "title": "A-1 is parked", "text": TEXT}
    return Notice(**{**given, "happened_at": NOW, **more})


def test_a_notice_arrives_with_its_id_its_title_and_its_whole_text(post: Post) -> None:
    post.channel.send(notice(), NOW)
    assert post.arrived() == [("u-1", "A-1 is parked", TEXT)]


def test_sent_again_it_arrives_again_under_the_same_id(post: Post) -> None:
    for _ in range(2):
        post.channel.send(notice(), NOW)
    assert [uid for uid, _, _ in post.arrived()] == ["u-1", "u-1"]


def test_hostile_words_stay_words(post: Post) -> None:
    post.channel.send(notice(title=HOSTILE), NOW)
    ((_, title, text),) = post.arrived()
    assert (title.startswith("naïve “title”"), text) == (True, TEXT)


def test_a_receiver_that_is_busy_may_be_tried_later(post: Post) -> None:
    post.busy()
    with pytest.raises(ChannelUnavailable):
        post.channel.send(notice(), NOW)
    assert not [each for each in post.arrived() if isinstance(post, MemoryPost | MailPost)]


def test_a_receiver_that_says_no_is_told_apart(post: Post) -> None:
    post.refuse()
    with pytest.raises(ChannelRefused):
        post.channel.send(notice(), NOW)


def test_a_receiver_that_is_gone_may_be_tried_later(post: Post) -> None:
    post.leave()
    with pytest.raises(ChannelUnavailable):
        post.channel.send(notice(), NOW)
