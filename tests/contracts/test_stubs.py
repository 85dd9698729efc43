"""The stand-in for services: what it holds against a request, and how it fails."""

from __future__ import annotations

from typing import Any

import pytest

from orch.rest import NoAnswer, Service
from tests.contracts.schemas import contract, endpoints
from tests.contracts.stubs import Call, FaultKind, Said, Stub

ME = {"id": "00000000-0000-4000-8000-000000000005", "display_name": "dev"}
PROJECT = "/api/v1/workspaces/acme/projects/00000000-0000-4000-8000-000000000007"


class Counting:
    """Answers two endpoints, and counts what was written."""

    def __init__(self) -> None:
        self.made = 0
        self.stub = Stub(
            contract("plane"), {"get_current_user": self.me, "create_label": self.label}
        )

    def me(self, call: Call) -> Said:
        return Said(200, ME)

    def label(self, call: Call) -> Said:
        self.made += 1
        return Said(201, {"name": (call.body or {}).get("name", "x")})

    def service(self, read: float = 5) -> Service:
        return Service(self.stub.url, read=read)


def test_a_request_as_published_is_answered_and_kept() -> None:
    known = Counting()
    with known.stub as stub:
        made = known.service().ask("POST", f"{PROJECT}/labels/", body={"name": "x"})
    assert (made.status, made.body) == (201, {"name": "x"})
    assert stub.seen("POST", "/labels/")[0].params["slug"] == "acme"


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        (("GET", "/api/v1/nothing/", {}), "no such endpoint"),
        (("POST", f"{PROJECT}/labels/", {"body": {}}), "'name' is a required property"),
        (("POST", f"{PROJECT}/labels/", {"body": {"name": "x", "z": 1}}), "'z' was unexpected"),
        (("GET", "/api/v1/users/me/", {"query": {"z": 1}}), "query z: not known"),
        (("GET", f"{PROJECT}/states/", {"query": {"per_page": "all"}}), "query per_page"),
        (("GET", f"{PROJECT}/states/", {}), "no answer for list_states"),
        (("GET", "/api/v1/users/me/", {"headers": {"Accept": "text/html"}}), "Accept is text/html"),
    ],
)
def test_a_request_unlike_the_contract_fails_the_test(asked: Any, wrong: str) -> None:
    known = Counting()
    method, path, more = asked
    with pytest.raises(AssertionError, match=wrong), known.stub:
        known.service().ask(method, path, **more)


@pytest.mark.parametrize(
    ("kind", "status", "made"),
    [
        ("500", 500, 0),
        ("429", 429, 0),
        ("timeout", None, 0),
        ("reset", None, 0),
        ("lost", None, 1),
        ("not-json", None, 1),
        ("other-json", 201, 1),
        ("slow", 201, 1),
    ],
)
def test_a_fault_happens_once_and_before_or_after_the_write(
    kind: FaultKind, status: int | None, made: int
) -> None:
    known = Counting()
    with known.stub as stub:
        stub.fail(kind, "POST", "/labels/", retry_after=9)
        service = known.service(read=0.2)
        if status is None:
            with pytest.raises(NoAnswer):
                service.ask("POST", f"{PROJECT}/labels/", body={"name": "x"})
        else:
            answer = service.ask("POST", f"{PROJECT}/labels/", body={"name": "x"})
            assert answer.status == status
            assert answer.retry_after == (9 if kind == "429" else None)
        assert known.made == made
        assert service.ask("GET", "/api/v1/users/me/").body == ME
        assert service.ask("POST", f"{PROJECT}/labels/", body={"name": "x"}).status == 201


def test_somebody_acts_in_between_once() -> None:
    done: list[str] = []
    with Counting().stub as stub:
        stub.meanwhile("GET", "/users/me/", lambda: done.append("before"))
        stub.meanwhile("GET", "/users/me/", lambda: done.append("after"), after=True)
        service = Service(stub.url)
        service.ask("GET", "/api/v1/users/me/")
        service.ask("GET", "/api/v1/users/me/")
    assert done == ["before", "after"]


def test_the_more_particular_path_is_taken() -> None:
    found = [each.id for each in endpoints(contract("plane"))]
    assert found.index("search_work_items_2") < found.index("get_workspace_work_item_2")
