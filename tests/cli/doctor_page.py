"""docs/doctor.md: what `orch doctor` prints on a healthy set-up and on broken ones, made by
running it. `python -m tests.cli.doctor_page` writes the page; a test holds it against the code.

Real are database, git, command line and every request; Plane, Gitea and the front are stand-ins.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
from sqlalchemy import text

import orch
from orch import bootstrap, clock, doctor, logs
from orch.adapters.memory_queue import MemoryQueue
from orch.cli import output
from orch.store import fleet, inbox, revisions
from orch.store.moments import DATABASE_TIME
from orch.store.session import Store
from tests.cli.conftest import CommandLine
from tests.contracts.gitea_stub import TOKEN, gitea
from tests.contracts.plane_stub import KEY, WORKSPACE
from tests.contracts.stubs import Stub
from tests.contracts.tracker_worlds import PlaneWorld
from tests.git_bench import make_template

PAGE: Final = Path(__file__).parents[2] / "docs" / "doctor.md"
GIB: Final = 2**30
WORDS: Final = """\
# orch doctor

<!-- Written by `make docs` from what it prints; the words stand in tests/cli/doctor_page.py. -->

`orch doctor` looks at everything orch stands on and changes nothing. Each finding is one line as
soon as it is there: `✓` well, `!` worth a look, `✗` wrong; below it what to do. It ends with exit
code 1 when something is wrong, and goes on past whatever cannot be used. Piped, it prints JSON
lines: `about`, `verdict`, `said`, `fix`.

| about | looks at |
|---|---|
| `settings` | whether they can be used; where not, nothing else can be looked at |
| `database`, `indexes` | whether it answers, its revision, each index and the rows it is for |
| `clock` | this machine's beside the database's; a tracker's or forge's says `Date` |
| `broker`, `dispatcher`, `agent NAME`, `workers` | whether somebody rings, ticks and serves |
| `feed NAME` | trackers and forges that do not answer or are asked no more |
| `webhooks of NAME` | when the last one came, whether `ORCH_WEB_URL` leads here |
| `git`, `agent NAME`, `disk` | programs with their versions, and the room that is left |
| `repo NAME` | whether git reaches the remote, and whether prompts can be used |
| `forge of NAME` | what orch's user may do there, the branch's protection, the repo's webhook |
| `tracker NAME` | key, workspace, project, states, people |

That an address leads here is seen from this machine: what the sender's network lets through, only
a webhook that came can show. Where the address is a private one and none has come, what the other
side has to allow is said: Gitea's `ALLOWED_HOST_LIST`, Plane's `WEBHOOK_ALLOWED_HOSTS`.

## A healthy set-up

A line with Plane and Gitea, as `orch init` writes it, after `orch db upgrade` and with its
processes up.

```console
{healthy}
```

## A broken one

No processes; an index is gone, the program of an agent is not there, Plane's key is another and
its clock is behind; in Gitea orch may only read, the branch is open and webhooks reach nobody; the
disk is all but full.

```console
{broken}
```

## Settings that cannot be used

```console
{unusable}
```
"""


def page() -> str:
    """The whole page."""
    told = {}
    with _somewhere() as place:
        for scene in (_healthy, _broken, _unusable):
            scene(place)
            said = place.orch("doctor", "--table").stdout.strip()
            told[scene.__name__.removeprefix("_")] = place.plain(f"$ orch doctor\n{said}")
    return WORDS.format(**told)


class Place:
    """A folder with `orch` in it, and the services around it."""

    def __init__(self, stack: ExitStack, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.patch = folder, patch
        bare = make_template(folder / "git") / "remote.git"
        self.plane, self.gitea = PlaneWorld(stack), stack.enter_context(gitea(bare))
        self.front = stack.enter_context(Stub([], {}))
        self.plane.tracker.prepare(make=True)
        self.orch = CommandLine(MemoryQueue(), folder)
        self.empty = folder / "empty.db"
        store = Store(f"sqlite:///{self.empty}")
        revisions.upgrade(store)
        store.dispose()
        self.free(40 * GIB)
        patch.setattr(orch, "__version__", "0")  # as that of the workers of tests
        patch.setattr(doctor, "CLOCK_LOOK", 60.0)  # so that a machine may be slow meanwhile

    def set_up(self, *, key: str = KEY, command: str = "true") -> None:
        """As a person would."""
        repo = (f"--repo=acme/shop={self.gitea.url}/acme/shop.git", f"--agent=developer={command}")
        plane = (f"--plane-url={self.plane.stub.url}", f"--plane-workspace={WORKSPACE}")
        item = (f"--plane-project={self.plane.plane.project}", f"--plane-token={key}")
        forge = ("--forge=gitea", f"--gitea-token={TOKEN}", f"--web-url={self.front.url}")
        self.orch.fact("init", *repo, "--tracker=plane", *plane, *item, *forge, "--force")
        (self.folder / ".orch" / "orch.db").unlink(missing_ok=True)
        shutil.copyfile(self.empty, self.folder / ".orch" / "orch.db")

    def free(self, room: int) -> None:
        """So many bytes are left on the disk."""
        self.patch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=room))

    def answers(self, status: int) -> None:
        """So the front answers whoever looks at its webhooks."""
        self.front.bare["/webhooks/"] = lambda handler: handler.send_error(status)

    def plain(self, said: str) -> str:
        """Without what is another at each run."""
        program = str(shutil.which("true"))
        for there, here in (
            (self.plane.stub.url, "https://plane.example.org"),
            (self.gitea.url, "https://git.example.org"),
            (self.front.url, "https://orch.example.org"),
            (str(self.folder), "/srv/orch"),
            (program, "/usr/bin/true"),
            ("127.0.0.1", "orch.example.org"),
        ):
            said = said.replace(there, here)
        for shape, word in (
            (r"is at [0-9a-f]{12}", "is at 3f9c1e07ab52"),
            (r"at revision \w+", "at revision 0042"),
            (r"is version [\d.]+\d", "is version 2.47.1"),
            (r"rang \d+ s ago", "rang 1 s ago"),
            (r"9\d\d s ahead", "900 s ahead"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, \d\.\d hours", "2026-05-04 10:00 UTC, 0.1 hours"),
        ):
            said = re.sub(shape, word, said)
        return said


@contextmanager
def _somewhere() -> Iterator[Place]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory())).resolve()
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        for name in ("git", ".orch"):
            (folder / name).mkdir()
        patch.chdir(folder)
        patch.setenv("COLUMNS", "400")
        patch.setattr(bootstrap, "build_queue", lambda settings: MemoryQueue())
        patch.setattr(logs, "configure", lambda level, form: None)
        output.console.cache_clear()
        yield Place(stack, folder, patch)
        output.console.cache_clear()


def _healthy(place: Place) -> None:
    place.set_up()
    place.answers(405)
    place.gitea.protection = {}
    place.orch.staff("developer", slots=2)
    store = place.orch.line().store
    store.write(lambda conn: fleet.note_beat(conn, "beat", DATABASE_TIME))
    store.write(lambda conn: fleet.note_beat(conn, "sweep", DATABASE_TIME, mended=0))
    store.write(lambda conn: inbox.hear(conn, "gitea", DATABASE_TIME))
    store.dispose()


def _broken(place: Place) -> None:
    place.set_up(key="a-wrong-key", command="no-such-program")
    place.answers(404)
    place.gitea.permissions.update(push=False)
    place.gitea.protection = None
    place.free(GIB // 2)
    store = place.orch.line().store
    store.write(lambda conn: conn.execute(text("DROP INDEX uq_jobs_live_per_repo")))
    store.dispose()

    def late(handler: BaseHTTPRequestHandler, timestamp: float | None = None) -> str:
        then: datetime = clock.utc_now() - timedelta(seconds=900)
        return then.strftime("%a, %d %b %Y %H:%M:%S GMT")

    place.patch.setattr(BaseHTTPRequestHandler, "date_time_string", late)


def _unusable(place: Place) -> None:
    (place.folder / "orch.toml").write_text('max_attempts = 0\n\n[agents.poet]\ncommand = ["x"]\n')


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
