"""A folder of Markdown files as a tracker: one file is one work item, and needs no service.

Front matter says what it is (id, title, state, priority, labels, blocked_by), the text what is to
be done, and sections headed `## NAME, TIME` below it what was said about it since.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import quote

from orch import clock, names
from orch.errors import TrackerGone, TrackerUnavailable
from orch.outside_settings import OutsideSettings, TrackerSettings
from orch.ports.tracker import (
    GROUPS,
    PHASES,
    Item,
    Phase,
    Priority,
    Readiness,
    Remark,
    StateGroup,
    Telling,
)
from orch.qg import plain_yaml

MYSELF: Final = "orch"
LARGEST: Final = 1_000_000
"""Bytes of a file that are read."""
TRIES: Final = 3
"""How often a file is written anew because somebody saved it meanwhile."""
_FINAL: Final = ("completed", "cancelled")
_FILE: Final = re.compile(r"---\n(.*?)\n---(?:\n(.*))?\Z", re.DOTALL)
_SAID: Final = re.compile(r"^## (?P<who>[^\n,]{1,80}), (?P<at>\d{4}-\d\d-\d\d[^\n]{0,30})$", re.M)
_OURS: Final = "<!-- orch:{} -->"


@dataclass(frozen=True)
class Page:
    """One file as it was read."""

    path: Path
    text: str
    stamp: tuple[int, int]
    """Changes when the file is saved: inode, and time in nanoseconds."""
    head: Mapping[str, Any]
    body: str

    @property
    def item_id(self) -> str:
        """As people call it."""
        return str(self.head["id"])

    @property
    def state(self) -> str:
        """As it is called; without one it is not to be begun yet."""
        return str(self.head.get("state", "Backlog"))

    @property
    def moved_by(self) -> str:
        """Who put it into its state, as far as it says so."""
        return MYSELF if self.head.get("orch") == self.state else str(self.head.get("by", ""))


class FolderTracker:
    """The files of one folder."""

    def __init__(self, folder: Path, settings: TrackerSettings) -> None:
        self._folder, self._settings = folder, settings
        own = {
            settings.states[phase]: GROUPS[name]
            for phase, name in PHASES.items()
            if phase in settings.states
        }
        self._groups: Mapping[str, StateGroup] = {**own, **GROUPS}

    def items(self) -> Sequence[Item]:
        """Every file that has front matter."""
        return [self._item(page) for page in self._pages().values()]

    def item(self, item_id: str) -> Item | None:
        """One of them."""
        page = self._page(item_id)
        return None if page is None else self._item(page)

    def remarks(self, item_id: str, after: datetime | None = None) -> Sequence[Remark]:
        """The sections of others than orch."""
        page = self._page(item_id)
        said = [] if page is None else list(_remarks(page.body))
        return sorted((r for r in said if after is None or r.at >= after), key=lambda r: r.at)

    def tell(self, telling: Telling) -> None:
        """Add a section, and set the state, in one step: the file is replaced by another."""
        for _ in range(TRIES):
            page = self._page(telling.item_id)
            if page is None:
                raise TrackerGone(f"There is no file for {names.shown(telling.item_id)} any more.")
            text = self._moved(page, telling.phase) + _section(page, telling)
            if text == page.text or _replace(page, text):
                return
        item = names.shown(telling.item_id)
        raise TrackerUnavailable(f"The file of {item} is saved by others again and again.")

    def prepare(self, *, make: bool = False) -> Readiness:
        """Whether files can be read and written there."""
        pages, problems = self._pages(), []
        if not os.access(self._folder, os.W_OK):
            problems.append(f"orch may not write into {self._folder}: let its user do so.")
        return Readiness(MYSELF, tuple(problems), (f"{len(pages)} work items",))

    # --- files

    def _page(self, item_id: str) -> Page | None:
        """The page of an item that was here once. Raises TrackerUnavailable in an empty folder:
        that is what is left of one whose disk is not mounted, and no word about its files."""
        page = self._pages().get(item_id)
        if page is None and not any(self._folder.glob("*.md")):
            raise TrackerUnavailable(
                f"{names.shown(self._folder.name)} holds no file, as if it were not mounted.",
                suggested_fix="Mount it; if it is to be empty, put a README.md there to say so.",
            )
        return page

    def _pages(self) -> dict[str, Page]:
        """By their ids. One that cannot be read is no reason to believe it gone: raises
        TrackerUnavailable."""
        found: dict[str, Page] = {}
        try:
            paths = sorted(self._folder.iterdir())
        except OSError as error:
            raise _unreadable(self._folder, type(error).__name__) from error
        for path in paths:
            if path.suffix != ".md" or path.name.startswith(".") or path.is_symlink():
                continue
            page = _read(path)
            if page is not None and page.item_id in found:
                other = found[page.item_id].path.name
                raise _unreadable(path, f"{other} has the same id, {names.shown(page.item_id)}")
            if page is not None:
                found[page.item_id] = page
        return found

    def _item(self, page: Page) -> Item:
        head, first = page.head, _SAID.search(page.body)
        priority: Priority = head.get("priority", "none")
        link = quote(page.item_id)
        return Item(
            item_id=page.item_id,
            work_item_id=page.item_id,
            title=str(head.get("title", page.path.stem)),
            state=page.state,
            group=self._groups.get(page.state, "backlog"),
            updated_at=datetime.fromtimestamp(page.stamp[1] / 1e9, UTC),
            description=(page.body[: first.start()] if first else page.body).strip(),
            priority=priority if priority in get_args(Priority) else "none",
            labels=_list(head.get("labels")),
            url=self._settings.page.replace("{work_item}", link).replace("{item}", link),
            blocked_by=_list(head.get("blocked_by")),
            moved_by=page.moved_by,
        )

    def _moved(self, page: Page, phase: Phase | None) -> str:
        """Its text with the state of a phase; a person's last word stays."""
        wanted = self._settings.states.get(phase or "", PHASES.get(phase) if phase else None)
        is_theirs = page.moved_by != MYSELF and (
            self._groups.get(page.state) in _FINAL
            or (phase == "parked" and page.state in self._settings.park_states)
        )
        if wanted is None or wanted == page.state or is_theirs:
            return page.text
        head, rest = page.text.split("\n---", 1)
        lines = [each for each in head.split("\n") if not re.match(r"(state|orch)\s*:", each)]
        said = json.dumps(wanted, ensure_ascii=False)
        return "\n".join([*lines, f"state: {said}", f"orch: {said}"]) + "\n---" + rest


def folder_tracker(_: OutsideSettings, known: TrackerSettings) -> FolderTracker:
    """The tracker of one `[trackers.NAME]` of kind folder."""
    return FolderTracker(known.path or Path(), known)


def _read(path: Path) -> Page | None:
    """One file; None where it has no front matter. Raises TrackerUnavailable."""
    try:
        stat = path.stat()
        if stat.st_size > LARGEST:
            raise _unreadable(path, f"it has more than {LARGEST} bytes")
        text = path.read_text(encoding="utf-8")
        found = _FILE.match(text)
        if found is None:
            if not text.strip() or text.startswith("---"):
                raise _unreadable(path, "its front matter is not whole")
            return None
        head = plain_yaml.parsed(found[1])
    except plain_yaml.YamlError as error:
        raise _unreadable(path, str(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, type(error).__name__) from error
    if not isinstance(head, dict) or not head.get("id"):
        raise _unreadable(path, "its front matter has no id")
    return Page(path, text, (stat.st_ino, stat.st_mtime_ns), head, found[2] or "")


def _unreadable(path: Path, why: str) -> TrackerUnavailable:
    return TrackerUnavailable(
        f"{names.shown(path.name)} cannot be read as a work item: {names.cleaned(why, 200)}.",
        suggested_fix="Mend or remove the file; until then orch works on with what it knows.",
    )


def _list(value: Any) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(str(each) for each in values)


def _remarks(body: str) -> Iterator[Remark]:
    """What others wrote. A heading whose time is none belongs to the text before it."""
    heads = list(_SAID.finditer(body))
    for head, following in zip_longest(heads, heads[1:]):
        text = body[head.end() : following.start() if following else len(body)].strip()
        try:
            at = datetime.fromisoformat(head["at"].strip())
        except ValueError:
            continue
        if head["who"].strip() == MYSELF:
            continue
        digest = hashlib.sha256(f"{head[0]}\n{text}".encode()).hexdigest()[:16]
        zoned = at if at.tzinfo else at.replace(tzinfo=UTC)
        yield Remark(digest, head["who"].strip(), text, zoned)


def _section(page: Page, telling: Telling) -> str:
    """What to add; empty where it stands there already. Indented, so that no word of it is a
    heading, a link or markup."""
    mark = _OURS.format(telling.uid)
    if not telling.text or mark in page.text:
        return ""
    lines = "\n".join(f"    {line}".rstrip() for line in telling.text.split("\n"))
    at = clock.utc_now().isoformat(timespec="seconds")
    end = "" if page.text.endswith("\n") else "\n"
    return f"{end}\n## {MYSELF}, {at}\n{mark}\n\n{lines}\n"


def _replace(page: Page, text: str) -> bool:
    """Put the new text in its place; False where somebody has saved it since it was read."""
    new = page.path.with_name(f".{page.path.name}.orch")
    try:
        new.write_text(text, encoding="utf-8")
        stat = page.path.stat()
        if (stat.st_ino, stat.st_mtime_ns) != page.stamp:
            return False
        new.chmod(stat.st_mode & 0o777)
        new.replace(page.path)
    except OSError as error:
        raise TrackerUnavailable(
            f"{names.shown(page.path.name)} cannot be written: {type(error).__name__}."
        ) from error
    return True
