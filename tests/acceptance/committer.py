"""A stand-in agent that commits: it delivers the documents of its stage, and a line of work.

Run as a program below a worker. What it delivers is the test's own (`tests.flows.pipeline_bench`).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.flows.pipeline_bench import Team
from tests.git_bench import git


def main() -> None:
    """One turn."""
    here = Path.cwd()
    item, job = os.environ["ORCH_WORK_ITEM"], os.environ["ORCH_JOB"]
    Team.deliver_in(here, os.environ["ORCH_STAGE"], item, job)
    said = {"verdict": "pass", "summary": f"at {git(here, 'rev-parse', '--short', 'HEAD')}"}
    Path(os.environ["ORCH_RESULT_FILE"]).write_text(json.dumps(said))


if __name__ == "__main__":
    main()
