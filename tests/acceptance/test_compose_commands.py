"""The compose file's own commands as plain processes, from an empty database to a finished task.

What it does not try are the images and Docker's network: that needs a container engine.
"""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.front import found
from tests.acceptance.stack import ROOT, Running, Stack, opened
from tests.services import wait_until

pytestmark = [pytest.mark.acceptance, pytest.mark.slow, pytest.mark.postgres, pytest.mark.redis]

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())[
    "services"
]
ORCH = [name for name, service in SERVICES.items() if "build" in service and name != "migrate"]
ASKED = ("dispatcher", "beat", "worker-analyst", "web")
"""One of each kind; a check costs a second or two of CPU."""
PATIENCE = 60.0
STOPS_IN = 20.0
"""Far within every `stop_grace_period`: no agent runs when they are told to stop."""


@pytest.fixture
def stack(postgres_url: str, tmp_path: Path) -> Iterator[Stack]:
    """A stack on a database without a schema, as a first start finds it."""
    with opened(postgres_url, "template0", tmp_path) as stack:
        yield stack


@pytest.mark.timeout(240)
def test_the_commands_migrate_serve_answer_for_their_health_and_stop(stack: Stack) -> None:
    assert stack.start("migrate", command("migrate")).process.wait(PATIENCE) == 0
    running = {name: stack.start(node(name), command(name)) for name in ORCH}
    stack.ready()
    stack.inside.add("ACME-1", "shop", track="full")
    wait_until(lambda: stack.inside.task("ACME-1")["stage"] == "done", PATIENCE, "never done")
    for name in ASKED:
        until_healthy(stack, name, running[name])
    for name in ORCH:
        running[name].send(signal.Signals[SERVICES[name].get("stop_signal", "SIGTERM")])
    codes = {name: running[name].process.wait(STOPS_IN) for name in ORCH}
    assert codes == dict.fromkeys(ORCH, 0)


def node(name: str) -> str:
    """The name a service's worker goes by; the service's own where it has none."""
    words = command(name)
    return words[words.index("--name") + 1] if "--name" in words else name


def command(name: str) -> list[str]:
    found: list[str] = SERVICES[name]["command"]
    return found


def until_healthy(stack: Stack, name: str, running: Running) -> None:
    """Run the service's health check until it is content."""
    kind, *test = SERVICES[name]["healthcheck"]["test"]
    argv = ["/bin/sh", "-c", test[0].replace("$$", "$")] if kind == "CMD-SHELL" else test
    if name == "web":  # which has a port of its own here
        front = wait_until(lambda: found(running.read(), ""), PATIENCE, "web never listened")
        assert front is not None
        argv = [part.replace(":8765", f":{front.port}") for part in argv]
    environ = stack.environ | {"HOSTNAME": socket.gethostname()}

    def answers() -> bool:
        asked = subprocess.run(argv, env=environ, capture_output=True, check=False, timeout=30)
        return asked.returncode == 0

    wait_until(answers, PATIENCE, f"{name} does not answer: {argv}")
