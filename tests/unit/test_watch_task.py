"""The watch of a control worker: what it looks at and when, and what it sets off."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from types import MappingProxyType, SimpleNamespace

import pytest

from orch import bootstrap, notices, tasks
from orch.config import Settings
from orch.errors import StoreUnavailable
from orch.line import Limits
from orch.store.session import Store
from tests.factories import Rig

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
HOOK = {"notify_webhook_url": "https://hooks.example.org/x", "notify_webhook_secret": SECRET}


@pytest.fixture
def rig(sqlite_database: str) -> Iterator[Rig]:
    store = Store(sqlite_database, synchronous="OFF")
    yield Rig(store, limits=Limits(head_watch=100))
    store.dispose()


class Told:
    """Remembers what was set off."""

    def __init__(self) -> None:
        self.words: list[tuple[str, ...]] = []

    def start(self, *words: str) -> bool:
        self.words.append(words)
        return True


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    errands = Told()
    monkeypatch.setattr(tasks, "errands", lambda: errands)
    return errands


def watch(rig: Rig, after: float = 0, given: Mapping[str, str] = MappingProxyType({})) -> None:
    rig.clock.advance(after)
    tasks.watch(rig.line, Settings.model_validate(given))


def test_heads_and_the_line_are_looked_at_once_a_minute_by_one_of_all(rig: Rig, told: Told) -> None:
    rig.workers()
    rig.task("A-1", "development")
    rig.task("B-2")
    for _ in range(3):
        watch(rig)
        watch(rig)  # another control worker, at the same time
        rig.clock.advance(60)
    (event,) = rig.events("head.watch")
    assert event["data"]["seconds"] == 120
    assert len(rig.events("line.degraded")) == 1  # beat has never rung
    assert told.words == []


def test_what_is_to_be_told_is_sent_by_a_process_of_its_own(rig: Rig, told: Told) -> None:
    watch(rig, given=HOOK)
    rig.order("freeze", "app")
    assert told.words == []
    watch(rig, 10, HOOK)
    watch(rig, 10, HOOK)  # it is not sent yet
    assert told.words == [("notify", "deliver", "--errand")] * 2
    assert [row["kind"] for row in notices.listed(rig.line)["notices"]] == ["frozen"]


def test_a_watch_that_fails_goes_on(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    tries = iter([StoreUnavailable(), ZeroDivisionError(), None])

    class Gone:
        def wait(self, seconds: float) -> bool:
            return len(seen) == 3

    def look(*_: object) -> None:
        seen.append("looked")
        error = next(tries)
        if error is not None:
            raise error

    monkeypatch.setattr(tasks, "_gone", Gone())
    monkeypatch.setattr(tasks, "watch", look)
    monkeypatch.setattr(tasks, "queue", lambda: rig.queue)
    monkeypatch.setattr(bootstrap, "load", Settings)
    monkeypatch.setattr(bootstrap, "build_line", lambda *_: rig.line)
    tasks._keep_watch()
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("served", "threads"),
    [("orch.control", ["orch-heartbeat", "orch-watch"]), ("agent.tester", ["orch-heartbeat"])],
)
def test_only_a_control_worker_watches(
    monkeypatch: pytest.MonkeyPatch, served: str, threads: list[str]
) -> None:
    for part in ("_keep_alive", "_keep_watch", "_warm", "_begin", "_hand_back_on_quit"):
        monkeypatch.setattr(tasks, part, lambda *_: None)
    monkeypatch.setattr(tasks, "_alive", [])
    queues = SimpleNamespace(queues=SimpleNamespace(consume_from=[served]))
    app, controller = SimpleNamespace(amqp=queues), SimpleNamespace(concurrency=1)
    tasks._register(SimpleNamespace(app=app, controller=controller, hostname="w@h"))
    assert [thread.name for thread in tasks._alive] == threads
    for thread in tasks._alive:
        thread.join()
