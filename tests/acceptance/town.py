"""What is outside of a stack: a Plane with people in it, and a Gitea before each repository."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

from orch.adapters.plane.markup import html_of, text_of
from tests.acceptance.front import Front
from tests.contracts.gitea_stub import TOKEN, Gitea, Request, gitea
from tests.contracts.plane_stub import KEY, WORKSPACE, PlaneStub
from tests.git_bench import git, make_template

PLANE_SECRET: Final = "a-secret-of-planes-webhooks-in-tests"
GITEA_SECRET: Final = "a-secret-of-giteas-webhooks-in-tests"
PAGES: Final = "https://orch.example.test"
PATIENCE: Final = 30.0


@dataclass
class Town:
    """Plane, the repos by name, and what was seen of both."""

    plane: PlaneStub
    repos: dict[str, Gitea]
    front: Front | None = None
    """Where webhooks are sent."""
    ann: str = ""
    delivered: int = 0
    begun: dict[str, str] = field(default_factory=dict)
    """Items by what people call them."""

    @property
    def settings(self) -> dict[str, str]:
        """As whom orch comes to them, and where they are."""
        return {
            "plane_url": self.plane.stub.url,
            "plane_workspace": WORKSPACE,
            "plane_token": KEY,
            "plane_webhook_secret": PLANE_SECRET,
            "plane_requests_per_minute": "6000",
            "gitea_token": TOKEN,
            "gitea_webhook_secret": GITEA_SECRET,
            "web_url": PAGES,
        }

    # --- what people do

    def ask_for(self, title: str, repo: str, **fields: Any) -> str:
        """Ann makes an item for a repo and puts it where orch takes it up; what it is called."""
        with self.plane.stub.still():
            label = self.plane.label(f"repo:{repo}")
            markup = html_of(f"Please: {title}.")
            more = {"labels": [label], "description_html": markup} | fields
            made = self.plane.add(title, "Todo", by=self.ann, **more)
            name = f"ORCH-{self.plane.items[made]['sequence_id']}"
        self.begun[name] = made
        return name

    def move(self, name: str, state: str) -> None:
        """Ann puts it into a state."""
        with self.plane.stub.still():
            self.plane.move(self.begun[name], state, self.ann)

    def remark(self, name: str, text: str) -> None:
        """Ann writes below it."""
        with self.plane.stub.still():
            self.plane.remark(self.begun[name], html_of(text), self.ann)

    # --- what people see

    def state_of(self, name: str) -> str:
        """Where people see it."""
        with self.plane.stub.still():
            return self.plane.state_of(self.begun[name])

    def comments(self, name: str) -> list[str]:
        """What orch wrote below it, oldest first."""
        with self.plane.stub.still():
            rows = list(self.plane.comments.get(self.begun[name], []))
        return [text_of(row["comment_html"]) for row in rows if row["actor"] == self.plane.me]

    def moves(self, name: str) -> list[str]:
        """The states orch put it into, in turn."""
        with self.plane.stub.still():
            trail = list(self.plane.trail[self.begun[name]])
        return [str(row["new_value"]) for row in trail if row["actor"] == self.plane.me]

    def story(self, repo: str, name: str) -> str:
        """What both showed of an item, in Markdown."""
        with self.plane.stub.still():
            title = self.plane.items[self.begun[name]]["name"]
        pull = self.pull(repo, name)
        lines = [f"## {name}: {title}", "", "In Plane:", ""]
        lines += [f"- moved to {state}" for state in self.moves(name)]
        lines += [f"- “{' / '.join(said.splitlines())}”" for said in self.comments(name)]
        lines += ["", f"In Gitea: pull request #{pull.number}, “{pull.title}”, {pull.state}.", ""]
        for sha, marks in self.repos[repo].statuses.items():
            if _is_part(self.repos[repo], sha, pull):
                lines += [f"- {sha[:12]} {name}: {state}, {said}" for name, state, said in marks]
        return "\n".join([*lines, ""])

    def pull(self, repo: str, name: str) -> Request:
        """The pull request of an item. Fails when there is more than one."""
        (found,) = [each for each in self.repos[repo].requests if name in each.head]
        return found

    # --- webhooks

    def plane_says(self, name: str, event: str = "issue", action: str = "updated") -> str:
        """Plane sends a signed webhook about an item; what orch made of it."""
        about = {"id": self.begun[name], "project": self.plane.project}
        if event == "issue_comment":
            about = {"id": self.plane.me, "issue": about["id"], "project": about["project"]}
        self.delivered += 1
        body: dict[str, Any] = {
            "event": event,
            "action": action,
            "data": about,
            "count": self.delivered,
        }
        return self.send("plane", body, {"X-Plane-Event": event})

    def gitea_says(self, event: str = "push") -> str:
        """Gitea sends a signed webhook about its repo; what orch made of it."""
        self.delivered += 1
        body: dict[str, Any] = {
            "ref": "refs/heads/main",
            "before": "",
            "after": str(self.delivered),
        }
        body |= {"repository": {"full_name": "acme/shop"}}
        return self.send("gitea", body, {"X-Gitea-Event": event})

    def send(self, source: str, body: dict[str, Any], headers: dict[str, str]) -> str:
        """Send it, signed; the outcome."""
        assert self.front is not None
        raw = json.dumps(body).encode()
        secret = PLANE_SECRET if source == "plane" else GITEA_SECRET
        digest = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
        signed = {"Content-Type": "application/json", f"X-{source.title()}-Signature": digest}
        connection = HTTPConnection(self.front.host, self.front.port, timeout=PATIENCE)
        try:
            connection.request("POST", f"/webhooks/{source}", raw, headers | signed)
            answer = connection.getresponse()
            said = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == 200, said
        return str(said["outcome"])


def _is_part(forge: Gitea, sha: str, pull: Request) -> bool:
    """Whether a commit was one of a pull request that has landed."""
    own = git(forge.bare, "rev-list", f"{pull.merge_sha}^1..{pull.merge_sha}").splitlines()
    return sha in own


@contextmanager
def town(folder: Path, *names: str) -> Iterator[Town]:
    """A Plane, and for each name a repo at a Gitea of its own."""
    with ExitStack() as stack:
        repos = {}
        for name in names:
            (folder / name).mkdir()
            bare = make_template(folder / name) / "remote.git"
            git(bare, "config", "http.receivepack", "true")
            repos[name] = stack.enter_context(gitea(bare))
        plane = PlaneStub()
        made = Town(plane, repos, ann=plane.person("ann", "ann@example.test"))
        stack.enter_context(plane.stub)
        yield made
