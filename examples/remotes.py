"""Makes a bare repository of each project in `seeds`, for orch to take as the shared repositories.

Everything in the one commit is given by arguments, so that it is the same wherever it is made.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEEDS = HERE / "seeds"
BRANCH = "main"
MESSAGE = "Begin {name}\n"


def hardened(author: str, email: str, date: str) -> dict[str, str]:
    """An environment in which nothing that somebody configured changes what git does."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", author), ("EMAIL", email), ("DATE", date))
    }
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "LC_ALL": "C"}
    return own | who | quiet


def make(seed: Path, bare: Path, env: dict[str, str]) -> None:
    """One bare repository with one commit."""

    def git(*arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["git", "--git-dir", str(bare), *arguments],
            env=env,
            cwd=seed,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{bare.name} could not be made: {done.stderr.strip()}")
        return done.stdout.strip()

    git("init", "--quiet", "--bare", "--template=", f"--initial-branch={BRANCH}", str(bare))
    with tempfile.TemporaryDirectory() as folder:
        env = env | {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git("--work-tree", str(seed), "add", "--all", ".")
        tree = git("write-tree")
        commit = git("commit-tree", tree, stdin=MESSAGE.format(name=seed.name))
    git("update-ref", f"refs/heads/{BRANCH}", commit)


def main() -> None:
    known = argparse.ArgumentParser(description=__doc__)
    known.add_argument("--author", required=True, help="who made the first commit")
    known.add_argument("--email", required=True)
    known.add_argument("--date", required=True, help="when: 2024-01-01T09:00:00Z")
    known.add_argument("--into", type=Path, default=HERE / "remotes", help="where they are made")
    given = known.parse_args()
    given.into.mkdir(parents=True, exist_ok=True)
    env = hardened(given.author, given.email, given.date)
    for seed in sorted(SEEDS.iterdir()):
        bare = given.into.resolve() / f"{seed.name}.git"
        if bare.exists():
            sys.exit(f"{bare} is there already: remove it to begin anew.")
        make(seed, bare, env)
        print(bare)


if __name__ == "__main__":
    main()
