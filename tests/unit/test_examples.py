"""The examples on their own: sound projects, the same repositories always, agents that deliver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from orch import stages
from orch.cli.demo_git import Shelf
from orch.config import agent_base_environment
from orch.prompting import PromptFacts, Prompts, load_prompts
from orch.qg import documents
from orch.qg.protected import protected

EXAMPLES = Path(__file__).parents[2] / "examples"
SEEDS = sorted(path.name for path in (EXAMPLES / "seeds").iterdir())
SOLUTIONS = {
    path.stem: tomllib.loads(path.read_text("utf-8"))
    for path in sorted((EXAMPLES / "solutions").glob("*.toml"))
}
ITEMS = [(repo, item) for repo, known in SOLUTIONS.items() for item in known]
AFTER = {"SITE-6": "SITE-3"}
"""The fix mends what another work item wrote."""
TESTS = [sys.executable, "-B", "-m", "unittest", "-q"]
FENCE = "0123456789abcdef"


def environment(**more: str) -> dict[str, str]:
    return agent_base_environment() | {"GIT_CONFIG_GLOBAL": os.devnull, "TOY_SECONDS": "0"} | more


def run(folder: Path, *argv: str) -> str:
    done = subprocess.run(
        argv, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


def set_up(into: Path) -> None:
    run(into.parent, str(EXAMPLES / "setup"), "--into", str(into))


@cache
def prompts() -> Prompts:
    return load_prompts()


@dataclass
class Bench:
    """A work item in a clone of its repository, and the toy agents at it."""

    folder: Path
    repo: str
    item: str
    jobs: int = 0

    def turn(self, stage: str, **facts: Any) -> dict[str, str]:
        """One turn of the agent of this stage; what it said."""
        self.jobs += 1
        told = PromptFacts(self.item, self.repo, self.jobs, title="A title", **facts)
        said = self.folder.parent / "result.json"
        env = environment(
            ORCH_WORK_ITEM=self.item,
            ORCH_STAGE=stage,
            ORCH_JOB=str(self.jobs),
            ORCH_ATTEMPT=str(told.attempt),
            ORCH_RESULT_FILE=str(said),
        )
        done = subprocess.run(
            [sys.executable, "-B", str(EXAMPLES / "agents" / "toy.py")],
            cwd=self.folder,
            env=env,
            input=prompts().render(stage, told, FENCE),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        word: dict[str, str] = json.loads(said.read_text("utf-8"))
        return word

    def tests_pass(self) -> bool:
        done = subprocess.run(TESTS, cwd=self.folder, capture_output=True, check=False)
        return done.returncode == 0

    def git(self, *arguments: str) -> str:
        return run(self.folder, "git", *arguments).strip()


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Bench:
    repo, item = request.param
    set_up(tmp_path / "remotes")
    folder = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", f"remotes/{repo}.git", "clone")
    made = Bench(folder, repo, item)
    if item in AFTER:
        Bench(folder, repo, AFTER[item]).turn("development")
        made.git("push", "--quiet", "origin", "HEAD:main")
    return made


@pytest.mark.parametrize("name", SEEDS)
def test_the_tests_of_every_seed_pass(name: str) -> None:
    assert run(EXAMPLES / "seeds" / name, *TESTS) == ""


def test_set_up_makes_the_same_commits_everywhere_and_writes_over_nothing(tmp_path: Path) -> None:
    tips = []
    for into in (tmp_path / "one", tmp_path / "two"):
        set_up(into)
        tips.append([run(into / f"{name}.git", "git", "rev-parse", "main") for name in SEEDS])
    assert tips[0] == tips[1]
    with pytest.raises(AssertionError, match="is there already"):
        set_up(tmp_path / "two")


def test_every_work_item_that_can_be_added_has_a_solution_in_its_repo() -> None:
    tasks = tomllib.loads((EXAMPLES / "work-items.toml").read_text("utf-8"))["tasks"]
    assert {(task["repo"], task["work_item_id"]) for task in tasks} <= set(ITEMS)


@pytest.mark.parametrize("bench", ITEMS, indirect=True, ids=lambda each: each[1])
def test_the_toy_agents_deliver_what_every_stage_is_due(bench: Bench) -> None:
    known = SOLUTIONS[bench.repo][bench.item]
    for stage in stages.TRACKS["full"]:
        said = bench.turn(stage, rework_summary=known.get("asks", ""), answer="semicolons")
        if stage == "development" and any("wrong" in edit for edit in known["edits"]):
            assert not bench.tests_pass()
            said = bench.turn(stage, attempt=2, failure="check_failed")
        assert said["verdict"] == "pass", (stage, said)
        assert documents.problems(bench.folder, bench.item, stage) == ()
    assert bench.tests_pass()
    assert bench.git("status", "--porcelain") == ""
    assert bench.git("rev-list", "--merges", "origin/main..") == ""
    changed = bench.git("diff", "--name-only", "origin/main", "HEAD").splitlines()
    assert {edit["path"] for edit in known["edits"]} <= set(changed)
    assert protected(changed) == []


@pytest.mark.parametrize("bench", [("lib", "LIB-2")], indirect=True)
def test_a_review_asks_until_its_words_have_reached_the_developer(bench: Bench) -> None:
    bench.turn("development")
    asked = bench.turn("review")
    assert asked["verdict"] == "rework"
    bench.turn("development")
    assert bench.turn("review")["verdict"] == "rework"
    bench.turn("development", rework_from="review", rework_summary=asked["summary"])
    assert bench.turn("review")["verdict"] == "pass"


@pytest.mark.parametrize("bench", [("lib", "LIB-3")], indirect=True)
def test_an_analyst_asks_until_somebody_answers(bench: Bench) -> None:
    asked = bench.turn("analysis")
    assert (asked["verdict"], bench.git("status", "--porcelain")) == ("needs_input", "")
    answered = bench.turn("analysis", question=asked["question"], answer="semicolons")
    assert answered["verdict"] == "pass"


@pytest.mark.parametrize("bench", [("site", "SITE-6")], indirect=True)
def test_production_is_ill_without_the_fix_and_well_with_it(bench: Bench) -> None:
    settings = str(EXAMPLES / "production" / "site.ini")
    with pytest.raises(AssertionError, match="press_contact"):
        run(bench.folder, sys.executable, "-B", "-m", "pages", settings)
    bench.turn("development")
    assert "press" in run(bench.folder, sys.executable, "-B", "-m", "pages", settings)


def test_release_brings_out_what_is_on_main_and_asks_how_it_is(tmp_path: Path) -> None:
    line = tmp_path / "line"
    shutil.copytree(EXAMPLES, line, ignore=shutil.ignore_patterns("remotes", "live"))
    run(line, "./setup")
    release = (sys.executable, "-B", str(line / "release.py"))
    assert "nothing has been brought out" in run(tmp_path, *release, "health", "site")
    assert "site has 9 files" in run(tmp_path, *release, "deploy", "site")
    assert "home: " in run(tmp_path, *release, "health", "site")
    run(tmp_path, "git", "clone", "--quiet", str(line / "remotes" / "lib.git"), "work")
    assert "lib-staging has" in run(tmp_path / "work", *release, "staging", "lib")


def test_a_colleague_pushes_on_top_of_main(tmp_path: Path) -> None:
    set_up(tmp_path / "remotes")
    shelf = Shelf(tmp_path / "remotes")
    (first,) = shelf.steps("lib")
    pushed = shelf.push_as_colleague("lib", "CONTACT.md", "Ask Bo.\n")
    assert [(step.sha, step.parents) for step in shelf.steps("lib")[1:]] == [(pushed, (first.sha,))]
    assert shelf.stands_on("lib", pushed, first.sha)
    assert not shelf.stands_on("lib", first.sha, pushed)
    assert (shelf.put_out("lib", tmp_path / "seen") / "CONTACT.md").read_text() == "Ask Bo.\n"
