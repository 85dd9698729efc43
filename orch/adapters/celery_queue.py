"""The doorbell on Celery: one message for a claimed job, one coalesced kick for the dispatcher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from celery import Celery
from kombu.exceptions import KombuError
from kombu.pools import producers
from redis.exceptions import RedisError

from orch.clock import Clock, utc_now
from orch.errors import BrokerUnavailable
from orch.ports import Claim
from orch.stages import AGENTS, CONTROL_QUEUE, queue_of

WORK_TASK: Final = "orch.work"
DISPATCH_TASK: Final = "orch.dispatch"
KICK_KEY: Final = "kick"
KICK_COALESCED_MS: Final = 1000
"""How long one kick stands for those that follow, unless a dispatcher answers it earlier."""
QUIET_AFTER_FAILURE: Final = timedelta(seconds=5)
"""How long kicks are not even tried after one failed: a web request must not wait again."""

# Callers ring from web requests and between transactions: they wait much less than a worker does.
_SHORT: Final[dict[str, Any]] = {
    "socket_connect_timeout": 1.0,
    "socket_timeout": 2.0,
    # kombu's own loop around opening a channel is endless unless it is told otherwise.
    "max_retries": 0,
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
}
_ACQUIRE_SECONDS: Final = 2.0
_BROKER_ERRORS: Final = (KombuError, RedisError, OSError)

log = structlog.get_logger(__name__)


def ringing_app(url: str, prefix: str) -> Celery:
    """An app with orch's settings that only rings: it knows the names of tasks, and runs none."""
    app = Celery("orch", config_source="celeryconfig", set_as_current=False)
    app.conf.broker_url = url
    options = app.conf.broker_transport_options
    app.conf.broker_transport_options = {**options, "global_keyprefix": prefix}
    return app


class CeleryQueue:
    """JobQueue on a Celery app's broker; safe to share between threads and to carry over a fork."""

    def __init__(
        self,
        app: Celery,
        *,
        clock: Clock = utc_now,
        quiet_after_failure: timedelta = QUIET_AFTER_FAILURE,
    ) -> None:
        self._app = app
        self._clock = clock
        self._quiet = quiet_after_failure
        self._quiet_until: datetime | None = None
        self._connection = app.connection_for_write(transport_options=_SHORT)

    def publish(self, claims: Sequence[Claim]) -> list[Claim]:
        """Ring for each claim in one pipeline; all are answered when the broker refused it.

        Some of those may have been sent all the same: the ring of a released claim is void.
        """
        known = [claim for claim in claims if claim.agent in AGENTS]
        unsent = [claim for claim in claims if claim.agent not in AGENTS]
        for claim in unsent:
            log.error("queue.unknown_agent", job_id=claim.job_id, agent=claim.agent)
        if known and not self._send_all(known):
            unsent += known
        return unsent

    def kick(self) -> bool:
        """Ask a dispatcher to look now; a burst of kicks rings once. Never raises."""
        if self._quiet_until is not None and self._clock() < self._quiet_until:
            return False
        try:
            with self._producer() as producer:
                if _takes_the_kick(producer):
                    self._send(producer, DISPATCH_TASK, CONTROL_QUEUE)
        except BrokerUnavailable as error:
            self._quiet_until = self._clock() + self._quiet
            log.warning("broker.unreachable", action="kick", error=str(error))
            return False
        self._quiet_until = None
        return True

    def clear_kick(self) -> None:
        """Let the next kick ring. A dispatcher's first act, before it reads the store."""
        try:
            with self._producer() as producer:
                client = _redis_of(producer)
                if client is not None:
                    client.delete(KICK_KEY)
        except BrokerUnavailable as error:
            log.warning("broker.unreachable", action="clear_kick", error=str(error))

    def reachable(self) -> bool:
        """Whether the broker answers a PING within a second or two."""
        try:
            with self._producer() as producer:
                client = _redis_of(producer)
                if client is not None:
                    client.ping()
        except BrokerUnavailable:
            return False
        self._quiet_until = None
        return True

    def _send_all(self, claims: Sequence[Claim]) -> bool:
        # Twice: the connection from the pool may have died since it was last used.
        for _ in range(2):
            try:
                with self._producer() as producer, producer.batch():
                    for claim in claims:
                        args = [claim.job_id, claim.token]
                        task_id = f"{claim.job_id}:{claim.token}"
                        queue = queue_of(claim.agent)
                        self._send(producer, WORK_TASK, queue, args=args, task_id=task_id)
                return True
            except BrokerUnavailable as error:
                log.warning("broker.unreachable", action="publish", error=str(error))
        return False

    def _send(self, producer: Any, task: str, queue: str, **message: Any) -> None:
        # Nothing to declare: the direct exchange puts the message on the list of that name, even
        # when Redis was emptied a moment ago.
        self._app.send_task(
            task, queue=queue, producer=producer, retry=False, declare=[], **message
        )

    @contextmanager
    def _producer(self) -> Iterator[Any]:
        """One producer for the whole block; the broker's errors leave as BrokerUnavailable."""
        # Looked up every time: kombu empties its pools after a fork, and so a child never writes
        # to its parent's socket.
        pool = producers[self._connection]
        try:
            with pool.acquire(block=True, timeout=_ACQUIRE_SECONDS) as producer:
                yield producer
        except _BROKER_ERRORS as error:
            raise BrokerUnavailable(f"The message broker does not answer: {error}") from error


def _redis_of(producer: Any) -> Any:
    """The channel's Redis client, which adds the key prefix; None on other transports."""
    return getattr(producer.channel, "client", None)


def _takes_the_kick(producer: Any) -> bool:
    client = _redis_of(producer)
    return client is None or bool(client.set(KICK_KEY, "1", nx=True, px=KICK_COALESCED_MS))
