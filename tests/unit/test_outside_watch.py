"""The thread of a control worker that asks trackers: it goes on whatever a look meets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orch import bootstrap, tasks
from orch.errors import StoreUnavailable
from orch.outside import rounds


class Gone:
    """Lets so many looks happen, and then says that the worker goes."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def wait(self, seconds: float) -> bool:
        self.left -= 1
        return self.left < 0

    def is_set(self) -> bool:
        return self.left < 0


def test_a_look_that_fails_ends_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    met: Iterator[Exception | None] = iter([StoreUnavailable(), ZeroDivisionError(), None])
    seen: list[str] = []

    def look(*parts: object) -> None:
        seen.append("look")
        error = next(met)
        if error is not None:
            raise error

    monkeypatch.setattr(tasks, "_gone", Gone(3))
    monkeypatch.setattr(bootstrap, "load", lambda: None)
    monkeypatch.setattr(bootstrap, "build_line", lambda *parts: "line")
    monkeypatch.setattr(bootstrap, "build_outside", lambda *parts: "outside")
    monkeypatch.setattr(rounds, "look", look)
    tasks._keep_outside()
    assert seen == ["look"] * 3
