"""A worker in small: runs a program in the folders it is given, and is there to be killed."""

import os
import sys
from pathlib import Path

from orch.adapters.agent_command import CommandRunner
from orch.ports import AgentCommand, AgentWork

program, workdir, rundir = (Path(argument) for argument in sys.argv[1:])
command = AgentCommand("developer", (str(program),), stop_grace=30)
work = AgentWork(command, 1, "t", 1, "A-1", "r", "development", "Go.", workdir, rundir)
CommandRunner({"PATH": os.defpath}).run(work, lambda: None, 15)
