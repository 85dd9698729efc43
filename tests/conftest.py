"""Fixtures every test may use: servers, a database of its own, deadlines, Hypothesis budgets."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from orch.clock import new_id
from tests import services

pytest_plugins = ("tests.kept",)

if TYPE_CHECKING:
    from orch.store.session import Store

IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")

# A database may be slow for a moment; that is no fault of the example.
_UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", _UNTIMED, max_examples=30, stateful_step_count=30)
settings.register_profile(
    "ci",
    _UNTIMED,
    max_examples=200,
    stateful_step_count=50,
    derandomize=False,
    print_blob=True,
)
settings.register_profile(
    "fuzz", settings.get_profile("ci"), max_examples=5000, stateful_step_count=100
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if IN_CI else "dev"))


def _missing(error: services.ServiceMissingError) -> NoReturn:
    """Skip where somebody works, fail where the tests are meant to be complete."""
    if IN_CI:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    raise pytest.skip.Exception(str(error)) from None


@pytest.fixture(scope="session")
def live_gitea() -> tuple[str, str, str]:
    """A Gitea whose repo may be written over: its URL, a token, owner/name. Skips without one."""
    names = ("ORCH_TEST_GITEA_URL", "ORCH_TEST_GITEA_TOKEN", "ORCH_TEST_GITEA_REPO")
    url, token, repo = (os.environ.get(name, "") for name in names)
    if not (url and token and repo):
        pytest.skip(f"needs {', '.join(names)}")
    return url.rstrip("/"), token, repo


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL server, as the URL of its own database."""
    try:
        with services.postgres_server(os.environ.get("ORCH_TEST_POSTGRES_URL")) as url:
            yield url
    except services.ServiceMissingError as error:
        _missing(error)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis server as a broker URL; others may use it too, so take `redis_prefix` with it."""
    try:
        with services.redis_server(os.environ.get("ORCH_TEST_REDIS_URL")) as url:
            yield url
    except services.ServiceMissingError as error:
        _missing(error)


@pytest.fixture
def redis_prefix(redis_url: str) -> Iterator[str]:
    """A key prefix nobody else has; its keys are gone after the test."""
    prefix = f"test-{new_id()}:"
    yield prefix
    with services.redis_client(redis_url) as client:
        keys = list(client.scan_iter(match=f"{prefix}*", count=1000))
        if keys:
            client.delete(*keys)


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[services.PrivateRedis]:
    """A running Redis of the test's own, to be flushed, stopped, killed and frozen."""
    server = services.PrivateRedis(tmp_path / "redis")
    if not server.binaries:
        _missing(services.ServiceMissingError("Redis: no server program is installed"))
    with server:
        yield server


@pytest.fixture(scope="session")
def migrate() -> Callable[[str], None]:
    """What brings the database at a URL to the newest schema."""
    # Here, so that tests without a database do not load the store.
    from orch.store.revisions import upgrade_url

    return upgrade_url


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str, migrate: Callable[[str], None]) -> Iterator[str]:
    """The name of a migrated database, to be copied and never connected to."""
    url = services.create_database(postgres_url)
    try:
        migrate(url)
        yield services.name_of(url)
    finally:
        services.drop_database(postgres_url, url)


@pytest.fixture
def pg_database(postgres_url: str, postgres_template: str) -> Iterator[str]:
    """The URL of a migrated PostgreSQL database of the test's own."""
    url = services.create_database(postgres_url, postgres_template)
    yield url
    services.drop_database(postgres_url, url)


@pytest.fixture(scope="session")
def sqlite_template(
    tmp_path_factory: pytest.TempPathFactory, migrate: Callable[[str], None]
) -> Path:
    """A migrated SQLite file, to be copied and never opened."""
    path = tmp_path_factory.mktemp("template") / "orch.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_database(tmp_path: Path, sqlite_template: Path) -> str:
    """The URL of a migrated SQLite file of the test's own."""
    path = tmp_path / "orch.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def _reused_postgres(postgres_url: str, postgres_template: str) -> Iterator[str]:
    """One copy for all tests of this process, which `emptied_postgres` lends out."""
    url = services.create_database(postgres_url, postgres_template)
    yield url
    services.drop_database(postgres_url, url)


@pytest.fixture
def emptied_postgres(_reused_postgres: str) -> Iterator[str]:
    """A migrated PostgreSQL database without rows. To change its schema, take `pg_database`."""
    yield _reused_postgres
    services.empty_postgres(_reused_postgres)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated database without rows; a test that takes this runs on both kinds."""
    name = "sqlite_database" if request.param == "sqlite" else "emptied_postgres"
    url: str = request.getfixturevalue(name)
    return url


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    """The store on a database of the test's own, once on each kind."""
    from orch.store.session import Store

    opened = Store(database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def wait_until() -> Callable[..., object]:
    """Polling with a deadline; tests themselves never sleep."""
    return services.wait_until


LONGEST_FIRST = ("test_gate_machine", "test_real_parts", "test_demo")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that no core is idle while another ends with it."""

    def place(item: pytest.Item) -> int:
        for rank, name in enumerate(LONGEST_FIRST):
            if name in item.nodeid:
                return rank
        return len(LONGEST_FIRST) + (item.get_closest_marker("slow") is None)

    items.sort(key=place)


def _gone_through(terminalreporter: pytest.TerminalReporter) -> Iterator[str]:
    # Properties come with a report from whatever process ran the test; a report may come thrice.
    ended = [*terminalreporter.stats.get("passed", []), *terminalreporter.stats.get("failed", [])]
    properties = [each for report in ended for each in getattr(report, "user_properties", ())]
    yield from sorted(f"schemathesis: {said}" for name, said in properties if name == "conformance")
    looks = [said for name, said in properties if name == "axe"]
    if looks:
        pages, themes = {page for page, _, _ in looks}, {theme for _, theme, _ in looks}
        yield (
            f"axe: {len(pages)} pages × {len(themes)} themes, {len(looks)} looks, "
            f"{sum(found for _, _, found in looks)} violations"
        )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What schemathesis and axe went through, and every test that was skipped, by name."""
    for said in _gone_through(terminalreporter):
        terminalreporter.line(said)
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section(f"{len(skipped)} skipped")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.line(f"{report.nodeid}: {reason}")
