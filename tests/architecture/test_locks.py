"""The lock files answer for every dependency that pyproject.toml declares."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement

from tests.architecture import tree

PINNED = re.compile(r"^([a-z0-9][a-z0-9.-]*)(?:\[[^]]*])?==(\S+)", re.MULTILINE)


def _project() -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads(tree.text("pyproject.toml"))["project"]
    return project


def _declared(*extras: str) -> list[str]:
    project = _project()
    optional = [entry for extra in extras for entry in project["optional-dependencies"][extra]]
    return [*project["dependencies"], *optional]


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("requirements.lock", ()),
        ("requirements-dev.lock", ("dev", "embedded-postgres", "mcp", "traces")),
    ],
)
def test_the_lock_pins_what_is_declared(lock: str, extras: tuple[str, ...]) -> None:
    pins = dict(PINNED.findall(tree.text(lock)))
    wanted = [Requirement(entry) for entry in _declared(*extras)]
    stale = [str(one) for one in wanted if pins.get(one.name.lower(), "") not in one.specifier]
    assert stale == [], "run `make lock`"


def test_both_locks_pin_the_same_versions() -> None:
    shipped = PINNED.findall(tree.text("requirements.lock"))
    assert set(shipped) - set(PINNED.findall(tree.text("requirements-dev.lock"))) == set()
