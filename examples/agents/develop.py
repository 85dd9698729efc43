"""A toy developer: it writes a small module with its test, runs the test, and says how it went.

"toy: fail once" in the task's description makes its first attempt fail.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ITEM = os.environ["ORCH_WORK_ITEM"]
MODULE = ITEM.lower().replace("-", "_").replace(".", "_")


def turn(word: str) -> None:
    with Path("../turns.log").open("a") as log:
        log.write(f"{word} {ITEM} {os.environ['ORCH_STAGE']} {os.environ['ORCH_JOB']}\n")


def say(verdict: str, summary: str) -> None:
    word = json.dumps({"verdict": verdict, "summary": summary})
    Path(os.environ["ORCH_RESULT_FILE"]).write_text(word)


def work() -> None:
    prompt = sys.stdin.read()
    print(f"attempt {os.environ['ORCH_ATTEMPT']} at {ITEM}", flush=True)
    time.sleep(0.4)
    if "toy: fail once" in prompt and os.environ["ORCH_ATTEMPT"] == "1":
        say("fail", "the package mirror does not answer")
        return
    Path(f"{MODULE}.py").write_text(f'"""{ITEM}."""\n\n\ndef answer() -> int:\n    return 42\n')
    Path(f"test_{MODULE}.py").write_text(f"import {MODULE}\n\nassert {MODULE}.answer() == 42\n")
    subprocess.run([sys.executable, f"test_{MODULE}.py"], check=True)
    print(f"wrote {MODULE}.py and its test, which passes")
    say("pass", f"{MODULE}.py and its test")


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
turn("start")
try:
    work()
finally:
    turn("stop")
