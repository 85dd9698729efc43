#!/usr/bin/env python3
"""Ends in order when it is interrupted, and says which signal it was."""

import signal
import sys
from pathlib import Path


def leave(number: int, _frame: object) -> None:
    sys.stdout.write(f"stopped by {signal.Signals(number).name}\n")
    sys.exit(0)


for wanted in (signal.SIGINT, signal.SIGTERM):
    signal.signal(wanted, leave)
Path("ready").touch()
while True:
    signal.pause()
