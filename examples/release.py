"""How a repo is brought out and looked at: `release.py staging|deploy|health REPO`.

orch runs these itself. Staging is the commit at hand; production is what the shared repository has
on its default branch, so that bringing out an older task again takes nothing back.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def bring_out(git_dir: Path, commit: str, place: Path) -> None:
    """Put the files of a commit in the place of those that are there."""
    fresh = place.with_name(f"{place.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as folder:
        quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        env = os.environ | quiet | {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        argv = ["git", "--git-dir", str(git_dir.resolve()), "--work-tree", str(fresh)]
        subprocess.run([*argv, "checkout", "--quiet", commit, "--", "."], env=env, check=True)
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)
    print(f"{place.name} has {sum(path.is_file() for path in place.rglob('*'))} files")


def health(place: Path, settings: Path) -> int:
    """Whether what runs in production can build its pages with production's settings."""
    if not place.is_dir():
        print("nothing has been brought out yet")
        return 0
    argv = [sys.executable, "-B", "-m", "pages", str(settings)]
    return subprocess.run(argv, cwd=place, check=False).returncode


def main() -> int:
    verb, repo = sys.argv[1:]
    live = HERE / "live"
    live.mkdir(exist_ok=True)
    if verb == "staging":
        bring_out(Path(".git"), "HEAD", live / f"{repo}-staging")
    elif verb == "deploy":
        bring_out(HERE / "remotes" / f"{repo}.git", "main", live / repo)
    else:
        return health(live / repo, HERE / "production" / f"{repo}.ini")
    return 0


if __name__ == "__main__":
    sys.exit(main())
