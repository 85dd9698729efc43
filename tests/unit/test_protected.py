"""Paths whose change needs a person."""

from __future__ import annotations

import pytest

from orch.qg.protected import protected


@pytest.mark.parametrize(
    "path",
    [
        ".claude/settings.json",
        ".claude",
        "services/api/.claude/skills/x/SKILL.md",
        ".mcp.json",
        "web/.mcp.json",
        ".codex/config.toml",
        "opencode.json",
        "opencode.jsonc",
        ".opencode/plugin/a.js",
        ".agents/skills/x/SKILL.md",
        "AGENTS.md",
        "lib/CLAUDE.md",
        ".env",
        "deep/er/.env",
        ".gitea/workflows/ci.yml",
        ".github/workflows/ci.yml",
        ".GitHub/Workflows/ci.yml",
        ".Claude/settings.json",
        "./.env",
        "a/../.env",
        "//.env",
        ".github\\workflows\\ci.yml",
        ".claude/new\nline",
    ],
)
def test_path_that_steers_agents_or_machines_is_protected(path: str) -> None:
    assert protected([path]) == [path]


@pytest.mark.parametrize(
    "path",
    [
        "",
        ".env.example",
        "src/env",
        "docs/claude/settings.json",
        ".github/ISSUE_TEMPLATE.md",
        "sub/.github/workflows/ci.yml",
        "x.mcp.json",
        "my-opencode.json",
        ".claudeignore",
        "AGENTS.md.txt",
    ],
)
def test_other_path_is_free(path: str) -> None:
    assert protected([path]) == []


def test_order_of_the_paths_is_kept() -> None:
    assert protected(["b/.env", "a.py", ".env"]) == ["b/.env", ".env"]
