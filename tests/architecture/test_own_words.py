"""The project speaks of itself: no path of anyone's machine, no host of a package registry."""

from __future__ import annotations

import re

import pytest

from tests.architecture import tree

MACHINE_PATH = re.compile(r"(?<![\w.<>*-])/(work|root|Users|opt/\w+)/|/\.pyenv\b")
REGISTRY_HOST = re.compile(r"\b(pypi|pythonhosted|npmjs|crates|debian|rubygems)\.(org|com|io)\b")


@pytest.mark.parametrize("foreign", [MACHINE_PATH, REGISTRY_HOST], ids=["path", "registry"])
def test_no_file_names_a_machine_or_a_registry(foreign: re.Pattern[str]) -> None:
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name in tree.files()
        for number, line in enumerate(tree.text(name).splitlines(), start=1)
        if foreign.search(line)
    ]
    assert found == []
