"""The settings reliability hangs on, and the command lines that go with them."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import pytest
from celery import Celery
from celery.exceptions import QueueNotFound

import celeryconfig
from orch.errors import BadInput
from orch.processes import beat_argv, worker_argv
from orch.stages import AGENTS, CONTROL_QUEUE, QUEUES, queue_of


@pytest.fixture
def app() -> Celery:
    app = Celery("settings", set_as_current=False)
    app.config_from_object("celeryconfig")
    return app


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("task_acks_late", False),
        ("task_reject_on_worker_lost", False),
        ("worker_cancel_long_running_tasks_on_connection_loss", False),
        ("worker_disable_prefetch", True),
        ("worker_prefetch_multiplier", 1),
        ("result_backend", None),
        ("task_ignore_result", True),
        ("task_serializer", "json"),
        ("accept_content", ["json"]),
        ("task_create_missing_queues", False),
        ("broker_connection_retry_on_startup", True),
        ("broker_connection_max_retries", None),
        ("broker_pool_acquire_timeout", 10),
        ("worker_send_task_events", False),
        ("worker_hijack_root_logger", False),
        ("worker_redirect_stdouts", False),
        ("beat_scheduler", "celery.beat:Scheduler"),
        ("timezone", "UTC"),
        ("enable_utc", True),
    ],
)
def test_setting_is_what_was_measured_to_be_safe(app: Celery, setting: str, value: object) -> None:
    assert app.conf[setting] == value


def test_spans_are_rung_for_only_where_somebody_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "tally" in celeryconfig.beat_schedule
    assert "traces" not in celeryconfig.beat_schedule
    monkeypatch.setenv("ORCH_OTEL_ENDPOINT", "http://127.0.0.1:4318")
    try:
        assert "traces" in importlib.reload(celeryconfig).beat_schedule
    finally:
        monkeypatch.undo()
        importlib.reload(celeryconfig)


def test_no_connection_waits_for_ever(app: Celery) -> None:
    options = app.conf.broker_transport_options
    assert 1 < options["socket_timeout"] <= 10
    assert 0 < options["socket_connect_timeout"] <= 5
    assert 0 < options["health_check_interval"] <= 10


def test_no_copy_is_kept_of_a_taken_message(app: Celery) -> None:
    assert app.conf.broker_transport_options["ack_emulation"] is False


def test_publishing_gives_up_soon(app: Celery) -> None:
    policy = app.conf.task_publish_retry_policy
    assert policy["max_retries"] * policy["interval_max"] <= 3


def test_every_setting_is_one_celery_knows(app: Celery) -> None:
    named = {name for name in vars(celeryconfig) if name.islower() and not name.startswith("_")}
    named -= {"annotations", "load_settings"}
    assert named <= set(app.conf.keys())


def test_queues_come_from_the_stages(app: Celery) -> None:
    assert sorted(app.amqp.queues) == sorted(QUEUES)
    for queue in app.amqp.queues.values():
        assert (queue.exchange.type, queue.durable) == ("direct", True)
    assert app.conf.task_default_queue == CONTROL_QUEUE


def test_a_misspelt_queue_is_an_error(app: Celery) -> None:
    with pytest.raises(QueueNotFound):
        app.send_task("orch.work", args=[1, "token"], queue="agent.analist")


@pytest.mark.parametrize("entry", ["dispatch", "sweep", "waits", "upkeep", "monitor"])
def test_beat_entries_go_to_control_and_expire(app: Celery, entry: str) -> None:
    scheduled = app.conf.beat_schedule[entry]
    assert scheduled["task"] == f"orch.{entry}"
    assert scheduled["options"]["queue"] == CONTROL_QUEUE
    assert 2 <= scheduled["options"]["expires"] / scheduled["schedule"] <= 3
    assert app.conf.beat_max_loop_interval <= app.conf.beat_schedule["dispatch"]["schedule"]


@pytest.mark.parametrize("queues", [[CONTROL_QUEUE], [queue_of(agent) for agent in AGENTS]])
def test_worker_command_names_its_queues_and_asks_no_neighbours(queues: Sequence[str]) -> None:
    argv = worker_argv(queues, 3, "one")
    assert argv[argv.index("--queues") + 1] == ",".join(queues)
    assert argv[argv.index("--concurrency") + 1] == "3"
    assert argv[argv.index("--hostname") + 1] == "one@%h"
    assert {"--without-gossip", "--without-mingle", "--without-heartbeat"} <= set(argv)
    assert int(argv[argv.index("--max-tasks-per-child") + 1]) >= 50


def test_a_solo_worker_has_no_children_to_renew_or_to_time() -> None:
    argv = worker_argv([CONTROL_QUEUE], 1, "control", "solo")
    assert not {"--max-tasks-per-child", "--time-limit"} & set(argv)


def test_only_control_has_a_time_limit_unless_one_is_given() -> None:
    agents = [queue_of("developer")]
    assert "--time-limit" in worker_argv([CONTROL_QUEUE], 1, "control")
    assert "--time-limit" not in worker_argv(agents, 1, "dev")
    assert worker_argv(agents, 1, "dev", time_limit=3900)[-2:] == ["--time-limit", "3900"]


def test_no_command_asks_for_late_acknowledgement_or_a_soft_limit() -> None:
    commands = " ".join([*worker_argv([CONTROL_QUEUE], 1, "control"), *beat_argv()])
    assert "soft" not in commands
    assert "late" not in commands


@pytest.mark.parametrize(
    ("queues", "concurrency"),
    [
        ([CONTROL_QUEUE, queue_of("analyst")], 1),
        (["agent.nobody"], 1),
        ([], 1),
        ([CONTROL_QUEUE], 0),
    ],
)
def test_a_worker_that_must_not_be_is_refused(queues: list[str], concurrency: int) -> None:
    with pytest.raises(BadInput):
        worker_argv(queues, concurrency, "one")


def test_a_solo_worker_with_two_slots_is_refused() -> None:
    with pytest.raises(BadInput):
        worker_argv([queue_of("tester")], 2, "one", "solo")
