"""Programs on this machine: where they are, and what they call themselves."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from typing import Final

from orch import names

SECONDS: Final = 10.0
"""After which a program is not asked any further for its version."""
_VERSION: Final = re.compile(r"\d+\.\d+[\w.+-]*")


def find(name: str, environ: Mapping[str, str]) -> str | None:
    """Where the program of this name or path is, looked for as a shell would."""
    return shutil.which(name, path=environ.get("PATH"))


def version(path: str, environ: Mapping[str, str]) -> str:
    """What it answers to --version, as far as it looks like one; empty when it does not say."""
    try:
        said = subprocess.run(
            [path, "--version"],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = _VERSION.search(names.cleaned(said.stdout[:1000].decode("utf-8", "replace")))
    return found[0] if found else ""
