"""Names say what a thing is, and nothing is left for later without an issue."""

from __future__ import annotations

import re
from pathlib import PurePath

from tests.architecture import tree

EMPTY_NAMES = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
EMPTY_IN_THE_PRODUCT = EMPTY_NAMES | {"service", "services"}
"""The tests may speak of services: there they are the databases and brokers outside."""
LEFT_FOR_LATER = re.compile(r"\b(TODO|FIXME|XXX)\b")
SILENCED_TYPES = re.compile(r"#\s*(type:\s*ignore|mypy:)")
THIS_FILE = "tests/architecture/test_names.py"


def _words(name: str) -> set[str]:
    return {word for part in PurePath(name).with_suffix("").parts for word in part.split("_")}


def test_no_module_or_folder_has_a_name_that_says_nothing() -> None:
    everywhere = [name for name in tree.modules() if _words(name) & EMPTY_NAMES]
    product = [name for name in tree.modules("orch", "web") if _words(name) & EMPTY_IN_THE_PRODUCT]
    assert (everywhere, product) == ([], [])


def test_unfinished_work_is_an_issue_and_not_a_note_in_a_file() -> None:
    found = [
        f"{name}:{number}"
        for name in tree.files()
        if name != THIS_FILE
        for number, line in enumerate(tree.text(name).splitlines(), start=1)
        if LEFT_FOR_LATER.search(line)
    ]
    assert found == []


def test_the_product_silences_no_type_error() -> None:
    found = [
        f"{name}:{number}"
        for name in (*tree.modules("orch", "web"), "celeryconfig.py")
        if name in tree.files()
        for number, line in enumerate(tree.text(name).splitlines(), start=1)
        if SILENCED_TYPES.search(line)
    ]
    assert found == []
