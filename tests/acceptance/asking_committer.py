"""A stand-in agent that commits, and does before that what a test has laid on its desk.

Run as a program below a worker. `hold-ITEM` in $DESK keeps it at its development until the file is
gone; `ask-ITEM` makes it ask instead, once.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.acceptance import committer
from tests.services import wait_until

PATIENCE = 120.0
QUESTION = "Which colour is the basket?"


def main() -> None:
    """One turn."""
    item, stage = os.environ["ORCH_WORK_ITEM"], os.environ["ORCH_STAGE"]
    desk = Path(os.environ["DESK"])
    if stage != "development":
        return committer.main()
    (desk / f"begun-{item}").touch()
    wait_until(lambda: not (desk / f"hold-{item}").exists(), PATIENCE)
    if (desk / f"ask-{item}").exists():
        (desk / f"ask-{item}").unlink()
        said = {"verdict": "needs_input", "summary": "a question", "question": QUESTION}
        Path(os.environ["ORCH_RESULT_FILE"]).write_text(json.dumps(said))
        return None
    return committer.main()


if __name__ == "__main__":
    main()
