"""What every JobQueue promises, on the fake and on Celery with a real broker."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from celery import Celery

from orch.adapters.celery_queue import KICK_COALESCED_MS, KICK_KEY, CeleryQueue
from orch.adapters.memory_queue import MemoryQueue
from orch.ports import Claim, JobQueue
from orch.stages import AGENTS, CONTROL_QUEUE, queue_of
from tests.services import PrivateRedis

PREFIX = "orch:"
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


class KickableQueue(JobQueue, Protocol):
    def clear_kick(self) -> None: ...


class Bell(Protocol):
    """A queue and the far end of it."""

    @property
    def queue(self) -> KickableQueue: ...
    def rung(self, agent: str) -> list[tuple[int, str]]: ...
    def kicks(self) -> int: ...
    def take_down(self) -> None: ...
    def bring_up(self) -> None: ...


class MemoryBell:
    def __init__(self) -> None:
        self.queue = MemoryQueue()

    def rung(self, agent: str) -> list[tuple[int, str]]:
        return [(one.job_id, one.token) for one in self.queue.published if one.agent == agent]

    def kicks(self) -> int:
        return self.queue.kicked

    def take_down(self) -> None:
        self.queue.down = True

    def bring_up(self) -> None:
        self.queue.down = False


class CeleryBell:
    def __init__(self, redis: PrivateRedis) -> None:
        self.redis = redis
        self.now = NOON
        self.app = Celery("contract", set_as_current=False)
        self.app.config_from_object("celeryconfig")
        self.app.conf.broker_url = redis.url
        options = self.app.conf.broker_transport_options
        self.app.conf.broker_transport_options = {**options, "global_keyprefix": PREFIX}
        self.queue = CeleryQueue(self.app, clock=lambda: self.now)

    def messages(self, queue: str) -> list[dict[str, object]]:
        """What waits there, oldest first, as it would be received."""
        with self.redis.client() as client:
            return [json.loads(text) for text in reversed(client.lrange(PREFIX + queue, 0, -1))]

    def rung(self, agent: str) -> list[tuple[int, str]]:
        bodies = [str(message["body"]) for message in self.messages(queue_of(agent))]
        return [tuple(json.loads(base64.b64decode(body))[0]) for body in bodies]

    def kicks(self) -> int:
        return len(self.messages(CONTROL_QUEUE))

    def take_down(self) -> None:
        self.redis.stop()

    def bring_up(self) -> None:
        self.redis.start()
        self.now += timedelta(minutes=1)


@pytest.fixture
def celery_bell(private_redis: PrivateRedis) -> CeleryBell:
    return CeleryBell(private_redis)


@pytest.fixture(params=["memory", pytest.param("celery", marks=pytest.mark.redis)])
def bell(request: pytest.FixtureRequest) -> Bell:
    if request.param == "memory":
        return MemoryBell()
    found: CeleryBell = request.getfixturevalue("celery_bell")
    return found


def claims(count: int, agent: str = "analyst") -> list[Claim]:
    return [Claim(number, f"token-{number}", agent) for number in range(1, count + 1)]


def test_a_claim_rings_on_its_agents_queue_and_on_no_other(bell: Bell) -> None:
    assert bell.queue.publish([Claim(7, "t7", "analyst"), Claim(8, "t8", "tester")]) == []
    assert bell.rung("analyst") == [(7, "t7")]
    assert bell.rung("tester") == [(8, "t8")]
    assert [agent for agent in AGENTS if bell.rung(agent)] == ["analyst", "tester"]


def test_many_claims_ring_in_their_order(bell: Bell) -> None:
    assert bell.queue.publish(claims(300)) == []
    assert [job_id for job_id, _ in bell.rung("analyst")] == list(range(1, 301))


def test_nothing_to_publish_is_nothing_left_over(bell: Bell) -> None:
    assert bell.queue.publish([]) == []


def test_a_burst_of_kicks_rings_once(bell: Bell) -> None:
    assert all(bell.queue.kick() for _ in range(1000))
    assert bell.kicks() == 1


def test_a_kick_after_the_dispatcher_began_rings_again(bell: Bell) -> None:
    assert bell.queue.kick()
    bell.queue.clear_kick()
    assert bell.queue.kick()
    assert bell.kicks() == 2


def test_a_broker_that_is_away_refuses_every_claim(bell: Bell) -> None:
    bell.take_down()
    assert bell.queue.publish(claims(3)) == claims(3)
    bell.bring_up()
    assert bell.rung("analyst") == []


def test_a_kick_while_the_broker_is_away_says_so_and_raises_nothing(bell: Bell) -> None:
    bell.take_down()
    assert not bell.queue.kick()
    bell.queue.clear_kick()


def test_reachable_follows_the_broker(bell: Bell) -> None:
    answers = [bell.queue.reachable()]
    bell.take_down()
    answers.append(bell.queue.reachable())
    bell.bring_up()
    answers.append(bell.queue.reachable())
    assert answers == [True, False, True]


def test_all_works_again_once_the_broker_is_back(bell: Bell) -> None:
    bell.queue.kick()
    bell.queue.clear_kick()
    bell.take_down()
    bell.queue.kick()
    bell.bring_up()
    assert bell.queue.kick()
    assert bell.queue.publish(claims(2)) == []
    assert len(bell.rung("analyst")) == 2


def test_an_unknown_agents_claim_comes_back_and_the_rest_rings(bell: Bell) -> None:
    stray = Claim(9, "t9", "nobody")
    assert bell.queue.publish([stray, *claims(2)]) == [stray]
    assert len(bell.rung("analyst")) == 2


def test_the_fake_refuses_the_jobs_it_was_told_to() -> None:
    bell = MemoryBell()
    bell.queue.refuse = {2}
    assert bell.queue.publish(claims(3)) == [claims(3)[1]]
    assert [claim.job_id for claim in bell.queue.take()] == [1, 3]
    assert bell.queue.take() == []


@pytest.mark.redis
class TestCelery:
    """What only the real one can show."""

    def test_a_message_is_named_by_job_and_token(self, celery_bell: CeleryBell) -> None:
        celery_bell.queue.publish([Claim(7, "t7", "analyst")])
        [message] = celery_bell.messages(queue_of("analyst"))
        headers = message["headers"]
        assert isinstance(headers, dict)
        assert (headers["id"], headers["task"]) == ("7:t7", "orch.work")
        assert (headers["eta"], headers["expires"], headers["retries"]) == (None, None, 0)
        assert message["content-type"] == "application/json"

    def test_an_emptied_redis_loses_rings_but_takes_new_ones(self, celery_bell: CeleryBell) -> None:
        celery_bell.queue.publish(claims(2))
        with celery_bell.redis.client() as client:
            client.flushall()
        assert celery_bell.queue.publish([Claim(3, "t3", "analyst")]) == []
        assert celery_bell.rung("analyst") == [(3, "t3")]

    def test_an_unanswered_kick_stops_standing_for_others(self, celery_bell: CeleryBell) -> None:
        celery_bell.queue.kick()
        with celery_bell.redis.client() as client:
            assert 0 < client.pttl(PREFIX + KICK_KEY) <= KICK_COALESCED_MS

    def test_after_a_failure_kicks_are_not_tried_for_a_while(self, celery_bell: CeleryBell) -> None:
        celery_bell.take_down()
        assert not celery_bell.queue.kick()
        celery_bell.redis.start()
        assert not celery_bell.queue.kick()
        assert celery_bell.kicks() == 0
        celery_bell.now += timedelta(seconds=5)
        assert celery_bell.queue.kick()
        assert celery_bell.kicks() == 1

    def test_a_good_probe_ends_the_quiet_time(self, celery_bell: CeleryBell) -> None:
        celery_bell.take_down()
        assert not celery_bell.queue.kick()
        celery_bell.redis.start()
        assert celery_bell.queue.reachable()
        assert celery_bell.queue.kick()

    def test_a_frozen_broker_holds_nobody_for_long(self, celery_bell: CeleryBell) -> None:
        celery_bell.queue.reachable()
        celery_bell.redis.freeze()
        begun = time.monotonic()
        assert not celery_bell.queue.kick()
        assert not celery_bell.queue.kick()
        assert celery_bell.queue.publish(claims(50)) == claims(50)
        assert time.monotonic() - begun < 8.0

    def test_threads_share_it(self, celery_bell: CeleryBell) -> None:
        unsent: list[Claim] = []

        def ring(number: int) -> None:
            unsent.extend(celery_bell.queue.publish([Claim(number, "t", "analyst")]))
            celery_bell.queue.kick()

        threads = [threading.Thread(target=ring, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert unsent == []
        assert sorted(celery_bell.rung("analyst")) == [(number, "t") for number in range(16)]
        assert celery_bell.kicks() == 1


@pytest.fixture
def in_memory_app() -> Iterator[Celery]:
    app = Celery("memory", set_as_current=False, broker="memory://")
    app.config_from_object("celeryconfig")
    app.conf.broker_url = "memory://"
    yield app
    app.close()


def test_a_transport_without_redis_still_rings(
    in_memory_app: Celery, tmp_path: Path, wait_until: Callable[..., object]
) -> None:
    queue = CeleryQueue(in_memory_app)
    assert queue.reachable()
    queue.clear_kick()
    assert queue.kick()
    assert queue.publish(claims(2)) == []
