"""Tells from what git said which error of orch it is."""

from __future__ import annotations

import re
import signal
from typing import Final

from orch.errors import GitBroken, GitDiskFull, GitError, GitRefused, GitUnreachable
from orch.qg.verdict import storable

LONGEST: Final = 1000
"""Characters of git's own words in a message: the end says most."""
_FULL: Final = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|"
    rf"died of signal {int(signal.SIGXFSZ)}\b",
    re.I,
)
_REJECTED: Final = re.compile(
    r"\[(?:remote )?rejected\]|hook declined|protected branch|transport '.*' not allowed|fsck", re.I
)
_BROKEN: Final = re.compile(
    r"fatal: not a git repository|bad object|(?:loose object|object file|packfile|index file).*"
    r"(?:corrupt|empty|cannot be|smaller|too small|bad)|inflate:|garbage at end of loose object|"
    r"missing (?:blob|tree|commit|object)|unable to (?:read|find|parse)|could not parse|"
    r"does not match index|unresolved delta|index uses|bad (?:index|tree|signature)|"
    r"failed to read (?:object|delta)|is corrupt|(?:sha1|hash) mismatch|Could not read [0-9a-f]{40}"
)


def failure(verb: str, code: int, said: str, *, remote: bool) -> GitError:
    """The error behind a failed command; `said` is what it printed as errors, in English."""
    words = storable(" ".join(said.split()))[-LONGEST:] or f"exit code {code}"
    here = re.sub(r"^remote: .*$", "", said, flags=re.MULTILINE)  # theirs is not for us to mend
    if _FULL.search(said) or code == -signal.SIGXFSZ:
        return GitDiskFull(f"The disk is full or a limit is reached (`git {verb}`: {words}).")
    if _REJECTED.search(said):
        return GitRefused(f"It was refused (`git {verb}`: {words}).")
    if _BROKEN.search(here):
        return GitBroken(f"A repository on disk is damaged (`git {verb}`: {words}).")
    if remote:
        return GitUnreachable(f"The remote cannot be used (`git {verb}`: {words}).")
    return GitError(f"Git failed (`git {verb}`: {words}).")
