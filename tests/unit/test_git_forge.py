"""Plain git as a forge: what the contract cannot see."""

from __future__ import annotations

import pytest

from orch.adapters.git.command import PLAIN, Ask, GitCommand, Output, Place
from orch.adapters.git.forge import PlainForge
from orch.errors import BadInput, GitMoved, GitRefused, GitUnreachable
from orch.ports import Cut, Turn
from tests.git_bench import GitBench, commit, git

TOPIC = "feature/ACME-1"


class LosingCommand(GitCommand):
    """A git whose pushes get through, and whose answers to them do not."""

    lost = 1
    deaf = False
    """Whether nothing else gets through after that either."""

    def run(self, place: Place, *arguments: str, ask: Ask = PLAIN) -> Output:
        if ask.remote and self.deaf and not self.lost:
            raise GitUnreachable()
        said = super().run(place, *arguments, ask=ask)
        if arguments[0] == "push" and self.lost:
            self.lost -= 1
            raise GitUnreachable("The remote cannot be used (`git push`: hung up).")
        return said


def worked(bench: GitBench) -> tuple[Cut, str]:
    """A workspace and the head orch saw in it."""
    cut = bench.cut()
    commit(cut.path, {"a": "1"})
    return cut, bench.workspaces.inspect(cut).head_sha


def test_the_merge_says_ids_in_its_subject_and_the_title_as_data(bench: GitBench) -> None:
    cut, head = worked(bench)
    bench.forge.offer(cut, head)
    title = "Fix\nSigned-off-by: x\x1b[31m $(id) `id` \0 \u202eend"
    bench.forge.land(cut, head, cut.base_sha, title)
    said = git(bench.bare, "log", "-1", "--format=%an <%ae>%n%s%n%b", "main").splitlines()
    assert said[:2] == ["orch <orch@localhost>", "ACME-1: land feature/ACME-1 on main"]
    assert len(said) == 3
    assert said[2] == "“Fix Signed-off-by: x [31m $(id) `id` end”"


def test_a_lost_answer_to_the_merge_is_looked_up(bench: GitBench) -> None:
    cut, head = worked(bench)
    bench.forge.offer(cut, head)
    forge = PlainForge(LosingCommand(bench.access), bench.data)
    landed = forge.land(cut, head, cut.base_sha)
    assert bench.at("main") == landed.merge_sha
    assert bench.forge.land(cut, head, cut.base_sha).merge_sha == landed.merge_sha
    assert git(bench.bare, "rev-list", "--count", "--merges", "main") == "1"


def test_a_merge_whose_fate_cannot_be_looked_up_is_found_later(bench: GitBench) -> None:
    cut, head = worked(bench)
    bench.forge.offer(cut, head)
    command = LosingCommand(bench.access)
    command.deaf = True
    with pytest.raises(GitUnreachable):
        PlainForge(command, bench.data).land(cut, head, cut.base_sha)
    again = bench.cut(turn=Turn(2, "second"))
    landed = bench.forge.land(again, head, cut.base_sha)
    assert (landed.merge_sha, landed.anew) == (bench.at("main"), False)
    assert git(bench.bare, "rev-list", "--count", "--merges", "main") == "1"


def test_a_lost_answer_to_an_offer_is_looked_up(bench: GitBench) -> None:
    cut, head = worked(bench)
    PlainForge(LosingCommand(bench.access), bench.data).offer(cut, head)
    assert bench.at(TOPIC) == head


def test_an_offer_nobody_noted_is_known_for_orchs_own(bench: GitBench) -> None:
    cut, head = worked(bench)
    command = LosingCommand(bench.access)
    command.deaf = True
    with pytest.raises(GitUnreachable):
        PlainForge(command, bench.data).offer(cut, head)
    assert bench.at(TOPIC) == head
    git(cut.path, "commit", "-q", "--amend", "-m", "Other")
    other = bench.workspaces.inspect(cut).head_sha
    bench.forge.offer(cut, other)
    assert bench.at(TOPIC) == other


def test_an_offer_nobody_noted_is_taken_up_by_a_fresh_workspace(bench: GitBench) -> None:
    cut, head = worked(bench)
    command = LosingCommand(bench.access)
    command.deaf = True
    with pytest.raises(GitUnreachable):
        PlainForge(command, bench.data).offer(cut, head)
    again = bench.workspaces.cut(bench.remote, "ACME-1", Turn(2, "second"), fresh=True)
    assert bench.workspaces.inspect(again).head_sha == head


@pytest.mark.parametrize("there", ["feature", "feature/ACME-1/more"])
def test_a_branch_in_the_way_is_a_refusal_with_its_reason(bench: GitBench, there: str) -> None:
    cut, head = worked(bench)
    git(bench.bare, "branch", there, "main")
    with pytest.raises(GitRefused, match=r"(?s)feature"):
        bench.forge.offer(cut, head)


def test_the_reason_of_a_remotes_refusal_is_passed_on(bench: GitBench) -> None:
    cut, head = worked(bench)
    hook = bench.bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not on a Friday >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(GitRefused, match="not on a Friday"):
        bench.forge.offer(cut, head)


def test_two_tasks_landing_at_once_land_one_after_the_other(bench: GitBench) -> None:
    one, head = worked(bench)
    two = bench.cut("ACME-2")
    commit(two.path, {"b": "1"})
    other = bench.workspaces.inspect(two).head_sha
    bench.forge.offer(one, head)
    bench.forge.offer(two, other)
    bench.forge.land(one, head, one.base_sha)
    with pytest.raises(GitMoved):
        bench.forge.land(two, other, two.base_sha)
    rebased = bench.workspaces.rebase(two)
    bench.forge.offer(two, rebased.head_sha)
    landed = bench.forge.land(two, rebased.head_sha, rebased.base_sha)
    assert bench.at("main") == landed.merge_sha
    assert git(bench.bare, "ls-tree", "--name-only", "main").split() == ["README", "a", "b", "src"]


@pytest.mark.parametrize("sha", ["main", "main;id", "a" * 39, "a" * 41, "A" * 40, "HEAD", "-x"])
def test_only_full_names_of_commits_are_taken(bench: GitBench, sha: str) -> None:
    cut = bench.cut()
    for act in (
        lambda: bench.forge.offer(cut, sha),
        lambda: bench.forge.land(cut, sha, cut.base_sha),
        lambda: bench.forge.land(cut, cut.base_sha, sha),
        lambda: bench.forge.contains(bench.remote, sha),
        lambda: bench.cut(known=sha),
    ):
        with pytest.raises(BadInput):
            act()
