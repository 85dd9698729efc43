"""The wall around an agent: a program put before its command that hides what is not its business.

What the wall lets through: all of the file system to read, but for orch's own folder with the other
tasks in it; the working folder, the folder of the run and the program's own state to write.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from orch.errors import AgentError
from orch.ports import AgentWork

BUBBLEWRAP: Final = "bubblewrap"
RESOLVER: Final = "/run/systemd/resolve"
"""Where names of hosts are looked up on many systems."""


def wall(
    work: AgentWork, env: Mapping[str, str], hidden: Sequence[Path], state: Sequence[str]
) -> list[str]:
    """The words to put before the command; none without a sandbox.

    `hidden` are folders and files the agent must not see, `state` paths below HOME it may write.
    Raises AgentError when the sandbox's program is not there.
    """
    sandbox = work.command.sandbox
    if not sandbox:
        return []
    if sandbox != BUBBLEWRAP:
        places = {"{workdir}": str(work.workdir.absolute()), "{rundir}": str(work.rundir.resolve())}
        return [_filled(word, places) for word in sandbox]
    program = shutil.which("bwrap", path=env["PATH"])
    if program is None:
        raise AgentError(
            "The sandbox `bubblewrap` needs the program `bwrap`, which is not on the agent's PATH.",
            suggested_fix="Install bubblewrap, or take `sandbox` out of the agent's settings.",
        )
    home = Path(env["HOME"]) if env.get("HOME") else None
    return [program, *_bubble(work, home, hidden, state), "--"]


def _bubble(
    work: AgentWork, home: Path | None, hidden: Sequence[Path], state: Sequence[str]
) -> list[str]:
    """Later words cover earlier ones: first all is readable, then parts vanish or open up.

    Not `--die-with-parent`: a polite signal would kill the first process of the wall, and the agent
    with it at once. The supervisor ends what is left.
    """
    given = ["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp"]  # noqa: S108
    # Sockets of the system lie in /run, and a read-only file system does not keep them shut.
    given += ["--tmpfs", "/run", "--ro-bind-try", RESOLVER, RESOLVER]
    given += ["--unshare-pid", "--unshare-ipc"]
    if not work.command.network:
        given += ["--unshare-net"]
    for path in hidden:
        if path.is_dir():
            given += ["--tmpfs", str(path)]
        elif path.exists():
            given += ["--ro-bind", "/dev/null", str(path)]
    for name in state if home else ():
        given += ["--bind-try", f"{home}/{name}", f"{home}/{name}"]
    for folder in (work.workdir.resolve(), work.rundir.resolve(), *work.writable):
        given += ["--bind", str(folder), str(folder)]
    return [*given, "--chdir", str(work.workdir.resolve())]


def _filled(word: str, places: Mapping[str, str]) -> str:
    for mark, place in places.items():
        word = word.replace(mark, place)
    return word
