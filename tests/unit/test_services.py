"""The tests' own servers and fixtures do what other tests rely on."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import insert, select

from orch.store.schema import agents, repos, wakes
from orch.store.session import Store
from tests import services


def test_waiting_ends_with_the_answer_or_with_the_message() -> None:
    answers = iter([0, "", 7])
    assert services.wait_until(lambda: next(answers)) == 7
    with pytest.raises(AssertionError, match="never came"):
        services.wait_until(lambda: False, 0.01, "never came")


@pytest.mark.redis
def test_keys_under_the_prefix_are_the_tests_own(redis_url: str, redis_prefix: str) -> None:
    with services.redis_client(redis_url) as client:
        assert list(client.scan_iter(match=f"{redis_prefix}*")) == []
        client.set(f"{redis_prefix}key", 1)


@pytest.mark.redis
def test_a_private_redis_is_killed_and_comes_back(private_redis: services.PrivateRedis) -> None:
    private_redis.kill()
    assert not services.answers_redis(private_redis.url)
    private_redis.start()
    assert services.answers_redis(private_redis.url)


@pytest.mark.redis
def test_a_frozen_redis_answers_after_the_thaw(private_redis: services.PrivateRedis) -> None:
    private_redis.freeze()
    with redis.Redis.from_url(private_redis.client_url, socket_timeout=0.1) as client:
        with pytest.raises(redis.TimeoutError):
            client.ping()
        private_redis.thaw()
        assert services.wait_until(client.ping)


@pytest.mark.redis
def test_a_hanging_proxy_is_silent_and_passes_what_comes_later(
    private_redis: services.PrivateRedis,
) -> None:
    proxy = services.Proxy(private_redis.socket_path)
    host, port = proxy.url.removeprefix("redis://").removesuffix("/0").split(":")
    with socket.create_connection((host, int(port)), timeout=0.2) as before:
        before.sendall(b"PING\r\n")
        assert before.recv(64) == b"+PONG\r\n"
        proxy.hang()
        before.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            before.recv(64)
        assert services.answers_redis(proxy.url)
    proxy.close()


@pytest.mark.postgres
@pytest.mark.parametrize("binaries", services.postgres_binaries(), ids=lambda path: str(path)[-24:])
def test_a_private_postgres_makes_copies_of_a_template(binaries: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="orch-pg-", ignore_cleanup_errors=True) as folder,
        services.private_postgres(Path(folder), [binaries]) as server,
    ):
        template = services.create_database(server)
        copy = services.create_database(server, services.name_of(template))
        plain = copy.replace("+psycopg", "", 1)
        connection = psycopg.connect(plain)
        assert connection.execute("SELECT 1").fetchone() == (1,)
        services.drop_database(server, copy)
        connection.close()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(plain)


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_finds_a_migrated_database_without_rows(store: Store, turn: int) -> None:
    added = insert(agents).values(name="developer")
    assert store.read(lambda conn: conn.execute(select(agents)).all()) == []
    store.write(lambda conn: conn.execute(added))


@pytest.mark.postgres
def test_an_emptied_database_counts_from_one_again(emptied_postgres: str) -> None:
    added = insert(wakes).values(repo="r").returning(wakes.c.id)
    ids = []
    for _ in range(2):
        services.empty_postgres(emptied_postgres)
        opened = Store(emptied_postgres)
        opened.write(lambda conn: conn.execute(insert(repos).values(name="r")))
        ids.append(opened.write(lambda conn: conn.execute(added).scalar_one()))
        opened.dispose()
    assert ids == [1, 1]
