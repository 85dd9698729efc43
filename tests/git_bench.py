"""What the tests of git share: a remote, somebody else who pushes to it, and orch's side."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from orch.adapters.git.command import Access, GitCommand
from orch.adapters.git.forge import PlainForge
from orch.adapters.git.workspaces import GitWorkspaces
from orch.ports import Cut, Remote, Turn

PATH = os.pathsep.join(os.get_exec_path())
ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@example.org",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@example.org",
    "PATH": PATH,
}
FIRST = "one\ntwo\nthree\n"
TURN = Turn(1, "first")


def git(folder: Path, *arguments: str, stdin: bytes | None = None) -> str:
    """What git answers, run as a person or an agent would."""
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        input=stdin,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout.decode("utf-8", "surrogateescape").strip()


def commit(folder: Path, files: dict[str, str | bytes], message: str = "Work") -> str:
    """Write these files and commit them; the new head."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def make_template(folder: Path, form: str = "sha1") -> Path:
    """A bare repository with one commit on main, and a person's clone of it."""
    bare = folder / "remote.git"
    git(folder, "init", "-q", "--bare", "-b", "main", f"--object-format={form}", str(bare))
    git(folder, "init", "-q", "-b", "main", f"--object-format={form}", "person")
    git(folder / "person", "remote", "add", "origin", str(bare))
    commit(folder / "person", {"README": FIRST, "src/app.py": "print(1)\n"}, "Begin")
    git(folder / "person", "push", "-q", "origin", "HEAD:main")
    return folder


def runs(pid: int) -> bool:
    """Whether a process is there and more than an entry nobody has collected yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class GitBench:
    """A remote of the test's own, a person's clone, and orch's two adapters."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.bare = folder / "remote.git"
        self.person = folder / "person"
        shutil.copytree(template / "remote.git", self.bare)
        shutil.copytree(template / "person", self.person)
        git(self.person, "remote", "set-url", "origin", str(self.bare))
        self.data = folder / "data"
        self.remote = Remote("acme/shop", str(self.bare))
        self.access = Access(path=PATH, local_timeout=60, network_timeout=60)
        self.use(self.access)

    def use(self, access: Access, program: str = "git", patience: float = 60.0) -> None:
        """Call git in another way from now on."""
        self.command = GitCommand(access, program)
        self.workspaces = GitWorkspaces(self.command, self.data, patience)
        self.forge = PlainForge(self.command, self.data, patience)

    def cut(self, work_item: str = "ACME-1", turn: Turn = TURN, known: str = "") -> Cut:
        """The workspace of a task."""
        return self.workspaces.cut(self.remote, work_item, turn, known=known)

    def somebody_pushes(self, files: dict[str, str | bytes], message: str = "Other work") -> str:
        """Main moves on at the remote."""
        git(self.person, "pull", "-q", "--ff-only", "origin", "main")
        head = commit(self.person, files, message)
        git(self.person, "push", "-q", "origin", "HEAD:main")
        return head

    def at(self, branch: str) -> str:
        """Where a branch of the remote is; empty when there is none."""
        listed = git(self.bare, "for-each-ref", "--format=%(objectname)", f"refs/heads/{branch}")
        return listed.strip()

    @property
    def depot(self) -> Path:
        """The depot's folder."""
        return self.data / "depots" / "acme+shop.git"
