"""A stand-in agent that commits, and in its first attempt at development stays until it is stopped.

Run as a program below a worker. It leaves word of each start in $DESK, for the test to wait for.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.acceptance import committer
from tests.git_bench import commit


def main() -> None:
    """One turn."""
    stage, attempt = os.environ["ORCH_STAGE"], os.environ["ORCH_ATTEMPT"]
    if (stage, attempt) == ("development", "1"):
        commit(Path.cwd(), {"src/first-attempt.txt": "x\n"}, "Of the first attempt")
        (Path(os.environ["DESK"]) / "committed").touch()
        signal.pause()
    committer.main()


if __name__ == "__main__":
    main()
