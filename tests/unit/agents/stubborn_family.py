#!/usr/bin/env python3
"""Deaf to polite signals, with a deaf child and a deaf daemon in a session of its own."""

import os
import signal
import sys
from pathlib import Path

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            Path("daemon").write_text(str(os.getpid()))
        else:
            os._exit(0)
else:
    Path("parent").write_text(str(os.getpid()))
while not (Path("daemon").exists() and Path("parent").exists()):
    pass
Path("ready").touch()
if "leave" in sys.argv and os.getpid() == int(Path("parent").read_text()):
    sys.exit(0)
while True:
    signal.pause()
