"""Operators of some repos: what they may steer, by token, with a browser and by preview."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from orch import tokens
from orch.store.tables_notices import notices
from orch.tokens import Holder
from tests.factories import dump
from tests.web.conftest import Web


@pytest.mark.parametrize(
    ("globs", "wanted", "may"),
    [
        ((), "*", True), (("lib-*",), "lib-a", True), (("lib-*",), "lib-*", True),
        (("lib-*",), "lib-?", True), (("lib-*",), "lib-a*", True), (("lib-*",), "lib*", False),
        (("lib-*",), "*", False), (("lib-?",), "lib-*", False), (("lib-?",), "lib-?", True),
        (("lib-?",), "lib-ab", False), (("a", "lib-*"), "a", True), (("a",), "A", False),
        (("*/x",), "team/x", True), (("*",), "*", True), (("a.b",), "axb", False),
        (("a*", "b*"), "?*", False),
        (("*a?c*",), "xabcabd", True), (("*ab",), "aab", True), (("a*b",), "abc", False),
        (("team-" + "*a" * 40 + "*b",), "team-" + "a" * 190, False),
    ],
)  # fmt: skip
def test_globs_cover_names_and_narrower_globs(
    globs: tuple[str, ...], wanted: str, may: bool
) -> None:
    assert Holder("ann", "operator", globs).may("operator", wanted) is may
    assert Holder("ann", "operator", globs).may("viewer", wanted)
    assert not Holder("ann", "viewer", globs).may("operator", wanted)


def tell_of(web: Web, repo: str) -> None:
    """A notice that was given up."""
    now = web.rig.clock()
    row = {"uid": repo, "source": repo, "channel": "mail", "kind": "frozen", "repo": repo}
    row |= {"title": "t", "text": "t", "happened_at": now, "failed_at": now}
    web.rig.store.write(lambda conn: conn.execute(insert(notices).values(row)))


def test_a_notice_is_tried_again_by_whoever_may_steer_its_repo(web: Web) -> None:
    tell_of(web, "lib")
    narrow = tokens.add(web.line, "narrow", "operator", "root", repos=["lib*"])["token"]
    header = {"Authorization": f"Bearer {narrow}"}
    assert web.client.post("/notices/1/retry", headers=header).get_json()["changed"] is True


CONTROLS = [
    "/serial-gate/pause?work_item=APP-1", "/serial-gate/resume?work_item=APP-1",
    "/serial-gate/promote?work_item=APP-1", "/tasks/APP-1/cancel", "/tasks/APP-1/retry",
    "/tasks/APP-1/approve", "/tasks/APP-1/reject?note=no", "/tasks/APP-1/answer?text=blue",
    "/tasks/APP-1/dependencies?on=LIB-1", "/serial-gate/freeze?repo=app&reason=x",
    "/serial-gate/freeze?repo=*&reason=x", "/serial-gate/unfreeze?repo=app",
    "/agents/developer/suspend?reason=x", "/agents/developer/resume", "/notices/1/retry",
]  # fmt: skip


@pytest.mark.parametrize("address", CONTROLS)
def test_an_operator_of_some_repos_steers_those_and_no_others(web: Web, address: str) -> None:
    web.rig.task("APP-1", repo="app")
    web.rig.task("LIB-1", repo="lib")
    tell_of(web, "app")
    narrow = tokens.add(web.line, "narrow", "operator", "root", repos=["lib*"])["token"]
    client = web.client
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {narrow}"
    before = dump(web.rig.store)
    for asked in (address, f"{address}{'&' if '?' in address else '?'}preview=1"):
        if ("agents" in asked or "notices" in asked) and "preview" in asked:
            continue
        refused = client.post(asked)
        assert refused.status_code == 403, refused.text
        assert "narrow may steer lib*" in refused.get_json(force=True)["detail"]
    assert dump(web.rig.store) == before
    assert client.get("/why?work_item=APP-1").status_code == 200


def test_an_operator_of_some_repos_adds_freezes_and_pauses_there(web: Web) -> None:
    narrow = tokens.add(web.line, "narrow", "operator", "root", repos=["lib*"])["token"]
    client = web.client
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {narrow}"
    assert client.post("/tasks", json={"work_item": "A-1", "repo": "app"}).status_code == 403
    assert client.post("/tasks", json={"work_item": "L-1", "repo": "lib"}).status_code == 201
    for address in ("pause?work_item=L-1", "resume?work_item=L-1", "freeze?repo=lib-*&reason=x"):
        assert client.post(f"/serial-gate/{address}").status_code == 200
    (frozen,) = web.rig.freezes()
    assert (frozen["repo"], frozen["source"]) == ("lib-*", "narrow")
