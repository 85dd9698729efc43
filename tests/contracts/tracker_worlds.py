"""Trackers with people in them: the fake, Plane's stand-in, and a live Plane."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Protocol

from orch.adapters.memory_tracker import MemoryTracker
from orch.adapters.plane.budget import Budget
from orch.adapters.plane.client import Plane
from orch.adapters.plane.markup import html_of, text_of
from orch.adapters.plane.tracker import PlaneTracker
from orch.adapters.work_folder import FolderTracker
from orch.outside_settings import TrackerSettings
from orch.ports.tracker import Tracker
from orch.rest import Service, part
from tests.contracts.plane_stub import KEY, WORKSPACE, PlaneStub
from tests.contracts.stubs import FAULTS


class World(Protocol):
    """A tracker, what people do in it, and what goes wrong."""

    @property
    def tracker(self) -> Tracker: ...

    ann: str
    """A person, as the tracker names people."""

    def add(self, title: str, state: str = "Todo", **fields: Any) -> str:
        """Ann makes an item; `fields`: description, priority, labels."""
        ...

    def move(self, item: str, state: str) -> None: ...
    def remark(self, item: str, text: str) -> None: ...
    def relate(self, item: str, *blockers: str) -> None:
        """It waits for exactly these."""
        ...

    def drop(self, item: str) -> None: ...
    def state_of(self, item: str) -> str: ...
    def comments(self, item: str) -> Sequence[str]:
        """What orch wrote below it, as people see it."""
        ...

    def fail(self, fault: str) -> None: ...
    def mend(self) -> None: ...


class MemoryWorld:
    ann = "ann"

    def __init__(self, stack: ExitStack) -> None:
        self.tracker = MemoryTracker()
        self.count = 0

    def add(self, title: str, state: str = "Todo", **fields: Any) -> str:
        self.count += 1
        fields.pop("description", None)
        self.tracker.add(item := f"orch-{self.count}", title, state, **fields)
        return item

    def move(self, item: str, state: str) -> None:
        self.tracker.move(item, state)

    def remark(self, item: str, text: str) -> None:
        self.tracker.remark(item, text)

    def relate(self, item: str, *blockers: str) -> None:
        self.tracker.relate(item, *blockers)

    def drop(self, item: str) -> None:
        self.tracker.drop(item)

    def state_of(self, item: str) -> str:
        return self.tracker.state_of(item)

    def comments(self, item: str) -> Sequence[str]:
        return self.tracker.comments.get(item, [])

    def fail(self, fault: str) -> None:
        faults = self.tracker.faults
        faults.away = fault == "reset"
        faults.retry_after = 7.0 if fault == "429" else None
        faults.refused = "The key was revoked." if fault == "bad-key" else ""
        faults.lose_answers = int(fault == "lost")

    def mend(self) -> None:
        self.fail("")


class FolderWorld:
    """A folder, edited as people do: the file is saved anew."""

    ann = "ann"

    def __init__(self, stack: ExitStack) -> None:
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        chosen = {"kind": "folder", "repo": "acme/shop", "path": self.folder}
        self.tracker = FolderTracker(self.folder, TrackerSettings.model_validate(chosen))
        (self.folder / "README.md").write_text("Work items, a file for each.\n")
        self.seconds = 0

    def add(self, title: str, state: str = "Todo", **fields: Any) -> str:
        item = f"WORK-{len(list(self.folder.glob('WORK-*.md'))) + 1}"
        head = {"id": item, "title": title, "state": state, "by": self.ann, **fields}
        said = head.pop("description", "")
        lines = [f"{name}: {json.dumps(value)}" for name, value in head.items()]
        self._save(item, "\n".join(["---", *lines, "---", said]))
        return item

    def move(self, item: str, state: str) -> None:
        kept = re.sub("^by: .*\n", "", self._text(item), flags=re.M)
        self._save(item, re.sub("^state: .*$", f"state: {state}\nby: ann", kept, flags=re.M))

    def remark(self, item: str, text: str) -> None:
        self.seconds += 1
        at = f"2026-01-01T00:00:{self.seconds:02}Z"
        self._save(item, f"{self._text(item)}\n## ann, {at}\n\n{text}\n")

    def relate(self, item: str, *blockers: str) -> None:
        kept = re.sub("^blocked_by: .*\n", "", self._text(item), flags=re.M)
        said = f"---\nblocked_by: {json.dumps(blockers)}\n"
        self._save(item, kept.replace("---\n", said, 1))

    def drop(self, item: str) -> None:
        (self.folder / f"{item}.md").unlink()

    def state_of(self, item: str) -> str:
        found = self.tracker.item(item)
        assert found is not None
        return found.state

    def comments(self, item: str) -> Sequence[str]:
        said = re.split(r"^## orch, .*\n<!-- orch:.* -->\n\n", self._text(item), flags=re.M)[1:]
        return [re.sub("^    ", "", each, flags=re.M).strip() for each in said]

    def fail(self, fault: str) -> None:
        if fault == "half-written":
            (self.folder / "half.md").write_text("---\nid: WORK-9\n")
        elif fault in ("no-folder", "empty-folder"):
            self.folder.rename(self.folder.with_name(f"{self.folder.name}-away"))
        if fault == "empty-folder":
            self.folder.mkdir()

    def mend(self) -> None:
        (self.folder / "half.md").unlink(missing_ok=True)
        away = self.folder.with_name(f"{self.folder.name}-away")
        if away.exists():
            away.rename(self.folder)  # onto the empty one, where there is one

    def _text(self, item: str) -> str:
        return (self.folder / f"{item}.md").read_text("utf-8")

    def _save(self, item: str, text: str) -> None:
        """With a time of its own, however coarse the file system's clock is."""
        path = self.folder / f"{item}.md"
        path.write_text(text, encoding="utf-8")
        self.seconds += 1
        os.utime(path, (1_767_225_600 + self.seconds,) * 2)


class PlaneWorld:
    """Plane's stand-in; time is the test's."""

    def __init__(self, stack: ExitStack, *, read: float = 5.0, **settings: Any) -> None:
        self.plane = PlaneStub()
        self.ann_id = self.plane.person("ann", "ann@example.test")
        self.ann = "ann"
        self.stub = stack.enter_context(self.plane.stub)
        self.seconds = 0.0
        self.budget = Budget(6000, lambda: self.seconds)
        self.read, self.settings = read, settings
        self.connect()

    def connect(self, **changes: str) -> None:
        """Come to it anew, as after a start; `changes`: key, workspace, project."""
        known = {"key": KEY, "workspace": WORKSPACE, "project": self.plane.project} | changes
        service = Service(self.stub.url, {"X-API-Key": known["key"]}, read=self.read)
        self.client = Plane(service, known["workspace"], known["project"], self.budget)
        chosen = {"kind": "plane", "repo": "acme/shop", "project": known["project"]}
        settings = TrackerSettings.model_validate(chosen | self.settings)
        self.tracker = PlaneTracker(self.client, settings, "https://plane.example.org/")

    def add(self, title: str, state: str = "Todo", **fields: Any) -> str:
        labels = [self.plane.label(name) for name in fields.pop("labels", ())]
        markup = html_of(fields.pop("description", ""))
        more = {"labels": labels, "description_html": markup or "<p></p>"}
        return self.plane.add(title, state, by=self.ann_id, **more, **fields)

    def move(self, item: str, state: str) -> None:
        self.plane.move(item, state, self.ann_id)

    def remark(self, item: str, text: str) -> None:
        self.plane.remark(item, html_of(text), self.ann_id)

    def relate(self, item: str, *blockers: str) -> None:
        self.plane.blocked[item] = list(blockers)

    def drop(self, item: str) -> None:
        self.plane.drop(item)

    def state_of(self, item: str) -> str:
        return self.plane.state_of(item)

    def comments(self, item: str) -> Sequence[str]:
        rows = self.plane.comments.get(item, [])
        return [text_of(row["comment_html"]) for row in rows if row["actor"] == self.plane.me]

    def fail(self, fault: str) -> None:
        if fault in FAULTS:
            self.stub.fail(fault, times=None)  # type: ignore[arg-type]
        elif fault == "bad-key":
            self.plane.key = "another"
        elif fault == "no-entry":
            self.connect(workspace="acne")
        elif fault == "no-project":
            self.connect(project="00000000-0000-4000-8000-000000000099")
        elif fault == "moved-away":
            self.client._service.url = f"{self.stub.url}/login"
            self.stub.bare["/login"] = _elsewhere

    def mend(self) -> None:
        self.stub.mend()
        self.seconds += 120


def _elsewhere(handler: Any) -> None:
    handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    handler.send_response(302)
    handler.send_header("Location", "https://elsewhere.example.org/")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


LIVE: Final = {
    name: os.environ.get(f"ORCH_TEST_PLANE_{name}", "")
    for name in ("URL", "KEY", "PERSON_KEY", "WORKSPACE", "PROJECT")
}
"""Where a live Plane is: the key of orch's user and that of a person, both members of a project
with Plane's own states. Start it with API_KEY_RATE_LIMIT=6000/minute."""


class LiveWorld:
    """A live Plane. Nothing goes wrong there, and relations cannot be taken back."""

    def __init__(self, stack: ExitStack) -> None:
        budget = Budget(6000, lambda: 0.0)
        mine = Service(LIVE["URL"], {"X-API-Key": LIVE["KEY"]})
        theirs = Service(LIVE["URL"], {"X-API-Key": LIVE["PERSON_KEY"]})
        place = LIVE["WORKSPACE"], LIVE["PROJECT"]
        self.orch, self.person = Plane(mine, *place, budget), Plane(theirs, *place, budget)
        chosen = {"kind": "plane", "repo": "acme/shop", "project": LIVE["PROJECT"]}
        settings = TrackerSettings.model_validate(chosen)
        self.tracker = PlaneTracker(self.orch, settings, LIVE["URL"])
        self.tracker.prepare(make=True)
        self.ann = self.tracker._people.called(self.person.object("/api/v1/users/me/")["id"])
        self.states = {row["name"]: row["id"] for row in self.orch.rows("states/")}

    def add(self, title: str, state: str = "Todo", **fields: Any) -> str:
        labels = [self._label(name) for name in fields.pop("labels", ())]
        more = {"labels": labels, "description_html": html_of(fields.pop("description", ""))}
        body = {"name": title, "state": self.states[state], **more, **fields}
        return str(self.person.ask("POST", "work-items/", body=body).body["id"])

    def move(self, item: str, state: str) -> None:
        body = {"state": self.states[state]}
        self.person.ask("PATCH", f"work-items/{part(item)}/", body=body)

    def remark(self, item: str, text: str) -> None:
        body = {"comment_html": html_of(text)}
        self.person.ask("POST", f"work-items/{part(item)}/comments/", body=body)

    def relate(self, item: str, *blockers: str) -> None:
        body = {"relation_type": "blocked_by", "issues": list(blockers)}
        self.person.ask("POST", f"work-items/{part(item)}/relations/", body=body)

    def drop(self, item: str) -> None:
        self.person.ask("DELETE", f"work-items/{part(item)}/")

    def state_of(self, item: str) -> str:
        found = self.tracker.item(item)
        assert found is not None
        return found.state

    def comments(self, item: str) -> Sequence[str]:
        rows = self.orch.rows(f"work-items/{part(item)}/comments/")
        return [text_of(row["comment_html"]) for row in rows if row["external_source"] == "orch"]

    def fail(self, fault: str) -> None:
        raise NotImplementedError(fault)

    def mend(self) -> None:
        """Nothing was broken."""

    def _label(self, name: str) -> str:
        body = {"name": name, "color": "#00ff00"}
        return str(self.person.ask("POST", "labels/", body=body, also=(409,)).body["id"])
