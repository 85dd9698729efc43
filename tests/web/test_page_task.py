"""The page of a task: its story as bars, why it waits, what can be done, its change."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, update

from orch import controls
from orch.controls import Order
from orch.stages import DONE
from orch.store.schema import events, jobs, tasks
from tests.factories import START
from tests.web.conftest import Web
from tests.web.page import HOSTILE, Page, get, person
from web.pages.words import visible

BASE, HEAD = "a" * 40, "b" * 40
DIFF = """diff --git a/new b/new
--- /dev/null
+++ b/new
@@ -0,0 +1,2 @@
+<script>alert(1)</script>
+--- not a head
"""


def page(web: Web, item: str = "APP-1", role: str = "operator") -> Page:
    return get(person(web, role), f"/ui/tasks/{item}")


def order(web: Web, verb: str, item: str = "APP-1", reason: str = "why not", **more: Any) -> None:
    controls.carry_out(web.line, Order(verb, item, "ann", reason, **more))


def write(web: Web, table: Any, **facts: Any) -> None:
    web.rig.store.write(lambda conn: conn.execute(update(table).values(**facts)))


def test_a_task_says_why_it_waits_and_offers_what_clears_it(web: Web) -> None:
    web.rig.task("APP-1", "development", job="running")
    web.rig.task("APP-2")
    found = page(web, "APP-2")
    assert "/ui/tasks/APP-1" in found.links()
    assert "Ahead of it:" in found.text
    assert {"pause", "promote", "cancel"} <= set(found.controls())


@pytest.mark.parametrize(
    ("verb", "offered", "missing"),
    [
        ("pause", {"resume", "cancel"}, {"pause", "approve", "answer"}),
        ("cancel", set(), {"pause", "resume", "cancel", "retry", "depend"}),
    ],
)
def test_only_controls_of_its_state_are_offered(
    web: Web, verb: str, offered: set[str], missing: set[str]
) -> None:
    web.rig.task("APP-1")
    order(web, verb)
    found = set(page(web).controls())
    assert offered <= found
    assert not missing & found


def test_a_question_is_answered_and_an_approval_given_or_refused(web: Web) -> None:
    web.rig.task("APP-1", "development", job="succeeded")
    web.rig.asked("APP-1")
    assert {"answer", "cancel"} == set(page(web).controls()) - {"depend"}
    write(web, jobs, verdict="pass")
    write(web, tasks, approval="development", paused_reason="waits for approval")
    assert {"approve", "reject", "cancel"} == set(page(web).controls()) - {"depend"}


def test_who_only_looks_is_offered_nothing(web: Web) -> None:
    web.rig.task("APP-1")
    assert page(web, role="viewer").controls() == []


def test_the_story_is_drawn_and_told_in_numbers(web: Web) -> None:
    web.rig.task("APP-1")
    order(web, "pause", reason="lunch")
    web.rig.clock.advance(3600)
    found = page(web)
    bars = [given for tag, given in found.tags if tag == "rect" and given.get("class") == "pause"]
    assert any(float(str(bar["width"])) > 900 for bar in bars)
    drawings = [
        given["aria-label"] for tag, given in found.tags if tag == "svg" and "role" in given
    ]
    assert any("parked, 1 h" in str(told) for told in drawings)
    assert "lunch" in found.text


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_task_is_called_stays_text(web: Web, text: str) -> None:
    web.rig.task("APP-1", title=text, description=text)
    order(web, "pause", reason=text.replace("\u202e", "")[:200])
    found = page(web)
    assert (visible(text).strip() or "(no title)") in "".join(found.texts)
    assert "49" not in found.text.split("Audit")[0].replace(text, "")


def test_dependencies_are_shown_both_ways_with_their_controls(web: Web) -> None:
    for item in ("APP-1", "APP-2", "APP-3"):
        web.rig.task(item)
    order(web, "depend", "APP-2", on="APP-1")
    order(web, "depend", "APP-3", on="APP-2")
    found = page(web, "APP-2")
    assert {"/ui/tasks/APP-1", "/ui/tasks/APP-3"} <= set(found.links())
    assert found.controls().count("undepend") >= 2


def test_a_page_that_has_not_changed_is_not_sent_again(web: Web) -> None:
    web.rig.task("APP-1")
    client = person(web, "viewer")
    first = client.get("/ui/tasks/APP-1")
    again = {"If-None-Match": first.headers["ETag"]}
    assert client.get("/ui/tasks/APP-1", headers=again).status_code == 304
    order(web, "pause")
    assert client.get("/ui/tasks/APP-1", headers=again).status_code == 200


def test_an_unknown_task_is_named_with_those_like_it(web: Web) -> None:
    web.rig.task("APP-1")
    answer = person(web, "viewer").get("/ui/tasks/APP-9")
    assert answer.status_code == 404
    assert "No task is known as APP-9" in answer.text


def test_links_lead_to_tracker_and_forge_as_the_settings_say(web: Web) -> None:
    repo = {"url": "/srv/x.git", "branch_url": "https://git.example.org/{branch}"}
    repo["commit_url"] = "https://git.example.org/commit/{sha}"
    given = {"repos": {"app": repo}, "work_item_url": "https://tracker.example.org/{work_item}"}
    web.settings = web.settings.model_validate({"data_dir": web.folder, **given})
    web.rig.task("APP-1", head_sha=HEAD)
    links = page(web).links()
    assert "https://tracker.example.org/APP-1" in links
    assert "https://git.example.org/feature/APP-1" in links
    assert f"https://git.example.org/commit/{HEAD}" in links


def test_a_long_story_is_bounded(web: Web) -> None:
    task_id, now = web.rig.task("APP-1"), web.rig.clock()
    rows = [
        {"kind": kind, "at": now, "task_id": task_id, "reason": f"reason {number} " + "x" * 80}
        for number in range(250)
        for kind in ("task.paused", "task.resumed")
    ]
    web.rig.store.write(lambda conn: conn.execute(insert(events), rows))
    answer = person(web, "viewer").get("/ui/tasks/APP-1")
    assert len(answer.data) < 150_000
    assert "All of it in the ledger" in answer.text


# --- what it changes


def test_a_change_is_shown_line_by_line_and_runs_nothing(web: Web) -> None:
    web.rig.task("APP-1", base_sha=BASE, head_sha=HEAD)
    web.changes.tell("app", BASE, HEAD, DIFF)
    found = get(person(web, "viewer"), "/ui/tasks/APP-1/diff")
    kinds = [given["class"] for tag, given in found.tags if tag == "span" and "class" in given]
    assert [kind for kind in kinds if kind in ("file", "place", "added", "removed")] == [
        "file", "place", "added", "added",
    ]  # fmt: skip
    assert "+<script>alert(1)</script>" in found.text
    assert "2 added, 0 taken away" in found.text


@pytest.mark.parametrize(
    ("shas", "said"),
    [({}, "no change to show"), ({"base_sha": BASE, "head_sha": HEAD}, "not on this machine")],
)
def test_a_change_that_is_not_here_is_said_to_be_so(
    web: Web, shas: dict[str, str], said: str
) -> None:
    web.rig.task("APP-1", **shas)
    answer = person(web, "viewer").get("/ui/tasks/APP-1/diff")
    assert answer.status_code == 404
    assert said in answer.text


def test_the_change_of_one_attempt_can_be_asked_for(web: Web) -> None:
    web.rig.task("APP-1", base_sha=BASE, head_sha="c" * 40)
    write(web, jobs, report={"base_sha": BASE, "head_sha": HEAD})
    web.changes.tell("app", BASE, HEAD, DIFF)
    job = web.rig.job("APP-1")["id"]
    assert "2 added" in get(person(web, "viewer"), f"/ui/tasks/APP-1/diff?job={job}").text


def test_the_story_and_the_log_are_one_click_away_as_they_are(web: Web) -> None:
    web.rig.task("APP-1")
    client = person(web, "viewer")
    assert "/ui/tasks/APP-1/json" in page(web).links()
    assert client.get("/ui/tasks/APP-1/json").get_json()["task"]["work_item_id"] == "APP-1"
    log = client.get("/ui/jobs/1/log/raw")
    assert (log.status_code, log.content_type) == (200, "text/plain; charset=utf-8")


# --- the prompt


def test_the_prompt_is_shown_as_it_was_sent(web: Web) -> None:
    web.rig.task("APP-1")
    job = web.rig.job("APP-1")["id"]
    folder = web.folder.resolve() / "jobs" / str(job) / "token"
    folder.mkdir(parents=True)
    (folder / "prompt.md").write_text("Do <b>this</b>\x1b[31m now.")
    write(web, jobs, log_path=str(folder / "log"), status="succeeded")
    found = get(person(web, "viewer"), f"/ui/jobs/{job}/prompt")
    assert "Do <b>this</b> now." in found.text


def test_a_prompt_that_is_a_link_elsewhere_is_not_read(web: Web) -> None:
    web.rig.task("APP-1")
    folder = web.folder.resolve() / "jobs" / "1" / "token"
    folder.mkdir(parents=True)
    (web.folder / "secret").write_text("canary")
    (folder / "prompt.md").symlink_to(web.folder / "secret")
    write(web, jobs, log_path=str(folder / "log"), status="succeeded")
    answer = person(web, "viewer").get("/ui/jobs/1/prompt")
    assert answer.status_code == 404
    assert "canary" not in answer.text


def test_a_task_that_is_over_has_an_end(web: Web) -> None:
    web.rig.task("APP-1", DONE, job="succeeded", finished_at=web.rig.clock())
    web.rig.clock.advance(90_000)
    web.rig.store.write(lambda conn: conn.execute(update(jobs).values(finished_at=START)))
    assert "so far" not in page(web).text
