"""One suite for what looks into changes: the real depots, and the fake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orch.adapters.git.archive import GitArchive
from orch.adapters.git.command import Access
from orch.adapters.memory_changes import MemoryChanges
from orch.changes import Changes
from orch.errors import BadInput, GitMissing
from orch.ports import Cut
from tests.git_bench import PATH, GitBench, commit, git, make_template


@dataclass
class Span:
    """A change that is there."""

    changes: Changes
    repo: str
    base: str
    head: str


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("git"))


def seen(bench: GitBench, files: dict[str, str | bytes], subject: str = "Work") -> Cut:
    """A cut whose commit orch has seen."""
    cut = bench.cut()
    commit(cut.path, files, subject)
    bench.workspaces.inspect(cut)
    return cut


@pytest.fixture(params=["git", "memory"])
def span(request: pytest.FixtureRequest, tmp_path: Path, template: Path) -> Iterator[Span]:
    if request.param == "memory":
        fake = MemoryChanges()
        fake.tell("acme/shop", "a" * 40, "b" * 40, "+++ b/new\n+one\n")
        yield Span(fake, "acme/shop", "a" * 40, "b" * 40)
        return
    bench = GitBench(tmp_path, template)
    cut = seen(bench, {"new": "one\n"})
    head = bench.workspaces.inspect(cut).head_sha
    # The workspace goes, and with it what is kept of the task.
    bench.workspaces.discard(cut, force=True)
    yield Span(GitArchive(bench.access, bench.data), "acme/shop", cut.base_sha, head)


def test_a_change_is_shown_when_its_workspace_is_gone(span: Span) -> None:
    change = span.changes.between(span.repo, span.base, span.head, 10_000)
    assert "+++ b/new\n" in change.text
    assert [one.subject for one in change.commits] == ["Work"]
    assert not change.truncated


def test_a_change_is_bounded(span: Span) -> None:
    change = span.changes.between(span.repo, span.base, span.head, 10)
    assert (len(change.text), change.truncated) == (10, True)


def test_what_this_machine_lacks_is_missing(span: Span) -> None:
    for repo, head in ((span.repo, "0" * 40), ("other", span.head)):
        with pytest.raises(GitMissing):
            span.changes.between(repo, span.base, head, 1000)


def test_nothing_of_the_repos_own_is_executed(tmp_path: Path, template: Path) -> None:
    bench, ran = GitBench(tmp_path, template), tmp_path / "ran"
    attributes = "* diff=evil filter=evil\n"
    cut = seen(bench, {".gitattributes": attributes, "new": "one\n"})
    head = bench.workspaces.inspect(cut).head_sha
    for key in ("diff.evil.command", "diff.evil.textconv", "diff.external", "filter.evil.smudge"):
        git(bench.depot, "config", key, f"touch {ran};:")
    change = GitArchive(bench.access, bench.data).between("acme/shop", cut.base_sha, head, 10_000)
    assert "+one" in change.text
    assert not ran.exists()


def test_a_machine_without_a_folder_is_left_without_one(tmp_path: Path) -> None:
    archive = GitArchive(Access(path=PATH), tmp_path / "x")
    with pytest.raises(GitMissing):
        archive.between("acme/shop", "a" * 40, "b" * 40, 10)
    assert not (tmp_path / "x").exists()


def test_nothing_but_a_commit_is_ever_an_argument(tmp_path: Path, template: Path) -> None:
    bench = GitBench(tmp_path, template)
    cut = seen(bench, {"new": "one\n"})
    with pytest.raises(BadInput):
        GitArchive(bench.access, bench.data).between("acme/shop", cut.base_sha, "--output=x", 10)
