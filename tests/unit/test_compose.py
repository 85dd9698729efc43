"""The compose file and the image say what the code says: services, commands, settings, ends."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from orch import processes
from orch.agent_settings import AgentSettings
from orch.cli import running
from orch.cli.root import root
from orch.config import Settings
from orch.stages import AGENTS, CONTROL_QUEUE, queue_of

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
LASTING = {name: service for name, service in SERVICES.items() if name != "migrate"}
WORKERS = {f"worker-{agent}": agent for agent in AGENTS}
SLOTS = 2
PLACES = ("ORCH_CONFIG",)
"""Variables of orch's own that are not settings: where the settings are."""


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"s": 1, "m": 60}[unit]


def test_there_is_a_worker_for_every_agent_and_everything_else_once() -> None:
    others = {"redis", "postgres", "migrate", "dispatcher", "beat", "web"}
    assert set(SERVICES) == others | set(WORKERS)


@pytest.mark.parametrize("name", ["dispatcher", "beat"])
def test_two_dispatchers_and_two_beats_are_the_normal_set_up(name: str) -> None:
    assert SERVICES[name]["deploy"]["replicas"] == 2


def argv_of(service: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[str]:
    """What the service's command turns into, were it run."""
    became: list[list[str]] = []
    monkeypatch.setattr(running, "_become", lambda argv: became.append(list(argv)))
    monkeypatch.chdir(folder)
    program, *arguments = SERVICES[service]["command"]
    assert program == "orch"
    config = {"ORCH_CONFIG": str(ROOT / "examples" / "orch.toml"), "ORCH_DATA_DIR": str(folder)}
    done = CliRunner().invoke(root, arguments, env=config)
    assert done.exit_code == 0, done.output
    (argv,) = became
    return argv


@pytest.mark.parametrize(("service", "agent"), WORKERS.items())
def test_each_worker_serves_the_queue_of_its_agent(
    service: str, agent: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = processes.worker_argv([queue_of(agent)], SLOTS, agent)
    assert argv_of(service, monkeypatch, tmp_path) == expected


def test_the_dispatcher_serves_the_control_queue_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    expected = processes.worker_argv([CONTROL_QUEUE], 1, "control", "solo")
    assert argv_of("dispatcher", monkeypatch, tmp_path) == expected


@pytest.mark.parametrize(
    ("service", "expected"),
    [("beat", processes.beat_argv()), ("web", processes.web_argv())],
)
def test_beat_and_web_run_as_they_do_elsewhere(
    service: str, expected: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert argv_of(service, monkeypatch, tmp_path) == expected


def test_migrate_runs_once_before_all_others() -> None:
    assert SERVICES["migrate"]["command"] == ["orch", "db", "upgrade"]
    assert SERVICES["migrate"]["restart"] == "no"
    for name in set(OURS) - {"migrate"}:
        condition = OURS[name]["depends_on"]["migrate"]["condition"]
        assert condition == "service_completed_successfully"


def test_every_variable_is_a_setting() -> None:
    known = {f"ORCH_{name.upper()}" for name in Settings.model_fields} | set(PLACES)
    for name, service in OURS.items():
        assert set(service["environment"]) <= known, name


def test_every_service_that_lasts_is_asked_how_it_is_and_comes_back() -> None:
    for name, service in LASTING.items():
        assert service["healthcheck"]["test"], name
        assert service["restart"] == "unless-stopped", name


@pytest.mark.parametrize(
    ("service", "node"),
    [("dispatcher", "control"), ("beat", "celerybeat"), *WORKERS.items()],
)
def test_each_health_check_asks_the_node_of_its_own_container(service: str, node: str) -> None:
    _, command = SERVICES[service]["healthcheck"]["test"]
    assert command.endswith(f"--destination {node}@$$HOSTNAME")


def test_workers_hand_back_their_jobs_and_are_given_the_time() -> None:
    stopping = 2 * AgentSettings(command=("true",)).stop_grace
    for name in WORKERS:
        assert SERVICES[name]["stop_signal"] == "SIGQUIT"
        assert seconds(SERVICES[name]["stop_grace_period"]) >= stopping + 30


def test_redis_keeps_what_is_queued() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--maxmemory-policy"] == "noeviction"


def test_nothing_can_be_reached_from_other_machines() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_orch_does_not_run_as_root() -> None:
    image = (ROOT / "Dockerfile").read_text()
    last_stage = image[image.rindex("FROM ") :]
    assert re.findall(r"^USER (\S+)", last_stage, re.MULTILINE) == ["orch"]
    assert [name for name, service in OURS.items() if "user" in service] == []
    assert all(service["cap_drop"] == ["ALL"] for service in OURS.values())


def test_the_image_gets_all_that_is_installed_and_nothing_else() -> None:
    image, ignored = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text()
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", image, re.MULTILINE)
        for source in sources.split()
    }
    let_through = {line[1:] for line in ignored.splitlines() if line.startswith("!")}
    assert copied == let_through
    assert [name for name in copied if not (ROOT / name).exists()] == []
    packaging = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    modules = {f"{name}.py" for name in packaging["py-modules"]}
    packages = {name.rstrip("*") for name in packaging["packages"]["find"]["include"]}
    assert modules | packages <= copied


def test_a_compose_client_accepts_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    client = _compose_client()
    if client is None:
        pytest.skip("no docker compose client is installed")
    monkeypatch.setenv("POSTGRES_PASSWORD", "secret")
    command = [*client, "--file", str(COMPOSE), "config", "--services"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted(SERVICES)


def _compose_client() -> list[str] | None:
    """The client as a plugin, or as a program of its own; it needs no engine to read a file."""
    for client in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(client[0]) is None:
            continue
        asked = subprocess.run([*client, "version"], capture_output=True, check=False, timeout=60)
        if asked.returncode == 0:
            return client
    return None
