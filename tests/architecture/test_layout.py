"""The top of the tree is a map: it holds the agreed names and nothing else."""

from __future__ import annotations

import ast

from tests.architecture import tree

FOLDERS = {".ci", "bench", "docs", "examples", "orch", "tests", "web"}
FILES = {
    ".dockerignore",
    ".env.example",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "Makefile",
    "README.md",
    "celeryconfig.py",
    "docker-compose.yml",
    "pyproject.toml",
    "requirements-dev.lock",
    "requirements.lock",
}
FOLDERS_OF_ORCH = {"outside", "ports", "adapters", "cli", "prompts", "qg", "simulation", "store"}
KNOWN_TO_CELERYCONFIG = {"__future__", "celery", "kombu", "orch", "typing", "collections"}
"""The import contracts see packages only, so this one module is looked at here."""
FLOORS_BELOW_CELERYCONFIG = {"orch", "orch.config", "orch.processes", "orch.stages"}


def test_the_top_level_holds_only_the_agreed_folders() -> None:
    assert {name.split("/")[0] for name in tree.files() if "/" in name} - FOLDERS == set()


def test_the_top_level_holds_only_the_agreed_files() -> None:
    assert {name for name in tree.files() if "/" not in name} - FILES == set()


def test_orch_has_no_folder_but_the_agreed_ones() -> None:
    inside = [name.split("/") for name in tree.files() if name.startswith("orch/")]
    assert {parts[1] for parts in inside if len(parts) > 2} - FOLDERS_OF_ORCH == set()


def test_every_folder_of_the_packages_is_a_package() -> None:
    folders = {name.rsplit("/", 1)[0] for name in tree.modules("orch", "web")}
    migrations = "orch/store/migrations"
    assert {
        folder
        for folder in folders
        if f"{folder}/__init__.py" not in tree.files() and not folder.startswith(migrations)
    } == set()


def _imported_by(name: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(tree.parsed(name)) if name in tree.files() else ():
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "orch":
            found |= {f"orch.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_celeryconfig_knows_celery_stages_and_settings_only() -> None:
    imported = _imported_by("celeryconfig.py")
    assert {name for name in imported if name.split(".")[0] not in KNOWN_TO_CELERYCONFIG} == set()
    of_orch = {name for name in imported if name.split(".")[0] == "orch"}
    assert of_orch - FLOORS_BELOW_CELERYCONFIG == set()
