"""A stand-in for Plane: states, items, comments, relations and the trail of one project, answered
in the shape that was recorded from the real one."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final

from tests.contracts.schemas import contract, endpoints
from tests.contracts.stubs import Call, Said, Stub

KEY: Final = "plane_api_0123456789abcdef0123456789abcdef"
WORKSPACE: Final = "acme"
BEGIN: Final = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)
SCRIPT: Final = re.compile(r"<script.*?</script>", re.DOTALL)
Row = dict[str, Any]


def uid(number: int) -> str:
    """Ids as the recording numbers them."""
    return f"00000000-0000-4000-8000-{number:012d}"


def known_contract() -> dict[str, Any]:
    """The contract with what was observed to be otherwise than its schemas say."""
    known = contract("plane")
    schemas, found = known["schemas"], {each["id"]: each for each in known["endpoints"]}
    schemas["State"]["properties"]["slug"].pop("pattern")  # a default state has slug ""
    for name in ("state", "labels", "assignees"):  # objects where they are expanded
        schemas["Issue"]["properties"][name] = {}
    members = found["get_project_members"]["responses"]
    members["200"] = {"type": "array", "items": members["200"]}
    items = found["list_work_items_2"]["responses"]
    items["200"] = {"anyOf": [items["200"], {"$ref": "#/components/schemas/Issue"}]}
    return known


CONTRACT: Final = known_contract()
ENDPOINTS: Final = endpoints(CONTRACT)
RECORDED: Final = {each["name"]: each["response"] for each in CONTRACT["exchanges"]}


def recorded(name: str) -> Said:
    """The very answer that was recorded."""
    said = RECORDED[name]
    headers = {k: v for k, v in said["headers"].items() if k == "Retry-After"}
    return Said(said["status"], copy.deepcopy(said["body"]), headers)


class Project:
    """The project `ORCH` of the workspace `acme`, and what people do there."""

    def __init__(self) -> None:
        self.clock, self.count = BEGIN, 100
        self.me, self.project = uid(5), uid(7)
        self.key, self.remaining = KEY, 60
        self.expands = True
        """Whether states and labels come in full where they are asked for."""
        self.trail_lags = False
        """Whether the trail of changes is not written yet."""
        self.members = {self.me: "orch"}
        self.mails = {self.me: "orch@example.test"}
        self.items: dict[str, Row] = {}
        self.labels: dict[str, Row] = {}
        self.comments: dict[str, list[Row]] = {}
        self.trail: dict[str, list[Row]] = {}
        self.blocked: dict[str, list[str]] = {}
        self.states: dict[str, Row] = {}
        for row in recorded("states.list").body["results"]:
            self.states[row["id"]] = row

    def person(self, name: str, mail: str = "") -> str:
        """Somebody becomes a member."""
        user = self._new()
        self.members[user], self.mails[user] = name, mail or f"{user[-3:]}@example.test"
        return user

    def add(self, title: str, state: str = "Todo", *, by: str, **fields: Any) -> str:
        """Somebody makes an item in a state."""
        item, at = self._new(), self._tick()
        kept = copy.deepcopy(recorded("workitem.create").body)
        kept |= {"id": item, "name": title, "sequence_id": len(self.items) + 1, "labels": []}
        kept |= {"state": self.state(state), "created_by": by, "updated_by": None}
        kept |= {"created_at": at, "updated_at": at, "external_source": None, "external_id": None}
        html = SCRIPT.sub("", fields.pop("description_html", "<p></p>"))
        self.items[item] = kept | {"description_html": html, "priority": "none"} | fields
        self._note(item, by, verb="created", field=None)
        return item

    def label(self, name: str) -> str:
        """A label, made where it is missing."""
        made = copy.deepcopy(recorded("label.create").body) | {"id": self._new(), "name": name}
        return str(self.labels.setdefault(made["id"], made)["id"])

    def move(self, item: str, state: str, by: str, *, pages: bool = False) -> None:
        """Somebody puts it into a state, by the API or on the `pages`."""
        self._set_state(item, self.state(state), by, "state_id" if pages else "state")

    def edit(self, item: str, by: str, **fields: Any) -> None:
        """Somebody changes other fields."""
        self.items[item] |= {**fields, "updated_by": by, "updated_at": self._tick()}
        for field in fields:
            self._note(item, by, field=field)

    def remark(self, item: str, markup: str, by: str, **fields: Any) -> str:
        """Somebody writes a comment."""
        kept = copy.deepcopy(recorded("comment.create").body)
        kept |= {"id": self._new(), "comment_html": SCRIPT.sub("", markup), "actor": by}
        kept |= {"created_by": by, "updated_by": by, "external_source": None, "external_id": None}
        kept |= {"created_at": self._tick(), "issue": item} | fields
        self.comments.setdefault(item, []).append(kept)
        return str(kept["id"])

    def drop(self, item: str) -> None:
        """Somebody deletes it: Plane knows nothing of it any more."""
        del self.items[item]

    def state(self, name: str) -> str:
        """The id of a state by its name."""
        return next(row["id"] for row in self.states.values() if row["name"] == name)

    def state_of(self, item: str) -> str:
        """The name of the state in which people see an item."""
        return str(self.states[self.items[item]["state"]]["name"])

    def _set_state(self, item: str, state: str, by: str, field: str) -> None:
        before = self.items[item]["state"]
        change = {"state": state, "updated_by": by, "updated_at": self._tick()}
        self.items[item] |= change
        ids = {"old_identifier": before, "new_identifier": state}
        old, new = self.states.get(before, {}).get("name"), self.states[state]["name"]
        self._note(item, by, field=field, old_value=old, new_value=new, **ids)

    def _note(self, item: str, by: str, **fields: Any) -> None:
        kept = copy.deepcopy(recorded("activities.list").body["results"][0])
        kept |= {"id": self._new(), "verb": "updated", "actor": by, "issue": item}
        kept |= {"created_at": self._now(), **fields}
        self.trail.setdefault(item, []).append(kept)

    def _new(self) -> str:
        self.count += 1
        return uid(self.count)

    def _tick(self) -> str:
        self.clock += timedelta(seconds=1)
        return self._now()

    def _now(self) -> str:
        return self.clock.isoformat(timespec="microseconds").replace("+00:00", "Z")


class PlaneStub(Project):
    """What Plane answers about that project. `with` its `stub`."""

    def __init__(self) -> None:
        super().__init__()
        answers: dict[str, Callable[[Call], Said]] = {
            "get_current_user": lambda call: Said(200, self._user(self.me)),
            "retrieve_project": self._get_project,
            "get_project_members": lambda call: Said(200, [self._user(u) for u in self.members]),
            "list_states": lambda call: _paged(call, self.states.values()),
            "create_state": self._make_state,
            "list_labels": lambda call: _paged(call, self.labels.values()),
            "list_work_items_2": self._list,
            "retrieve_work_item_2": self._get,
            "update_work_item_2": self._patch,
            "list_work_item_comments_2": lambda c: _paged(c, self._said(c)),
            "create_work_item_comment_2": self._comment,
            "retrieve_work_item_comment_2": self._get_comment,
            "list_work_item_relations": self._relations,
            "list_work_item_activities_2": lambda c: _paged(c, self._trail(c)),
        }
        errors = {"500": recorded("workitems.list.badorder").body}
        errors |= {"404": recorded("workitem.get.404").body, "429": recorded("ratelimit").body}
        self.stub = Stub(ENDPOINTS, answers, guard=self._guard, errors=errors)

    def _guard(self, call: Call) -> Said | None:
        key = call.headers.get("x-api-key")
        if key is None:
            return recorded("auth.none")
        if key != self.key:
            return recorded("auth.bad")
        if call.params.get("slug", WORKSPACE) != WORKSPACE:
            return recorded("ws.notfound")
        if call.params.get("project_id", self.project) != self.project:
            return recorded("workitem.get.404")
        item = call.params.get("issue_id")
        if item is not None and item not in self.items and call.method != "GET":
            return recorded("workitem.get.404")
        return None

    def _get_project(self, call: Call) -> Said:
        if call.params["pk"] != self.project:
            return recorded("workitem.get.404")
        return self._ok(recorded("project.create").body)

    def _make_state(self, call: Call) -> Said:
        for row in self.states.values():
            if row["name"] == call.body["name"]:
                return Said(409, recorded("state.create.dup").body | {"id": row["id"]})
        made = copy.deepcopy(recorded("state.create").body) | call.body | {"id": self._new()}
        self.states[made["id"]] = made
        return self._ok(made)

    def _list(self, call: Call) -> Said:
        order = call.query.get("order_by", "-created_at")
        if order.removeprefix("-") not in ("created_at", "updated_at"):
            return recorded("workitems.list.badorder")
        shown = [row for row in self.items.values() if not row["archived_at"]]
        shown.sort(key=lambda row: row[order.removeprefix("-")], reverse=order.startswith("-"))
        return _paged(call, [self._expanded(row, call) for row in shown])

    def _get(self, call: Call) -> Said:
        row = self.items.get(call.params["pk"])
        if row is None or row["archived_at"]:
            return recorded("workitem.get.404")
        return self._ok(self._expanded(row, call))

    def _patch(self, call: Call) -> Said:
        item, wanted = call.params["pk"], call.body.get("state")
        if item not in self.items:
            return recorded("workitem.get.404")
        if wanted not in self.states:
            return Said(400, {"state": [f'Invalid pk "{wanted}" - object does not exist.']})
        if wanted != self.items[item]["state"]:
            self._set_state(item, wanted, self.me, "state")
        return self._ok(self.items[item])

    def _comment(self, call: Call) -> Said:
        source, key = call.body.get("external_source"), call.body.get("external_id")
        for said in [row for rows in self.comments.values() for row in rows]:
            if key and (said["external_source"], said["external_id"]) == (source, key):
                return Said(409, recorded("comment.create.dup").body | {"id": said["id"]})
        markup, item = call.body["comment_html"], call.params["issue_id"]
        self.remark(item, markup, self.me, external_source=source, external_id=key)
        return Said(201, self.comments[item][-1])

    def _get_comment(self, call: Call) -> Said:
        rows = self.comments.get(call.params["issue_id"], [])
        found = [row for row in rows if row["id"] == call.params["pk"]]
        return self._ok(found[0]) if found else recorded("workitem.get.404")

    def _relations(self, call: Call) -> Said:
        item = call.params["issue_id"]
        kinds = copy.deepcopy(recorded("relation.list").body)
        blocking = [other for other, by in self.blocked.items() if item in by]
        found = {"blocked_by": self.blocked.get(item, []), "blocking": blocking}
        for kind, ids in found.items():
            kinds[kind] = [{"project_id": self.project, "issue_id": each} for each in ids]
        return self._ok(kinds)

    def _said(self, call: Call) -> list[Row]:
        return self.comments.get(call.params["issue_id"], [])

    def _trail(self, call: Call) -> list[Row]:
        whole = self.trail.get(call.params["issue_id"], [])
        return whole[:1] if self.trail_lags else whole

    def _expanded(self, row: Row, call: Call) -> Row:
        wanted = call.query.get("expand", "").split(",") if self.expands else []
        more: Row = {}
        if "state" in wanted:
            state = self.states[row["state"]]
            more["state"] = {name: state[name] for name in ("id", "name", "color", "group")}
        if "labels" in wanted:
            more["labels"] = [self.labels[each] for each in row["labels"]]
        return row | more

    def _user(self, user: str) -> Row:
        person = {"id": user, "display_name": self.members[user], "email": self.mails[user]}
        return copy.deepcopy(recorded("me").body) | person

    def _ok(self, body: Any) -> Said:
        date = format_datetime(self.clock + timedelta(seconds=2), usegmt=True)
        headers = {"X-RateLimit-Remaining": str(self.remaining), "Date": date}
        return Said(200, copy.deepcopy(body), headers)


def _paged(call: Call, rows: Iterable[Row]) -> Said:
    """A page as Plane cuts it: by counting from the beginning."""
    size = int(call.query.get("per_page", "1000"))
    cursor = re.fullmatch(r"(\d+):(\d+):[01]", call.query.get("cursor", f"{size}:0:0"))
    if cursor is None:
        return recorded("workitems.list.badcursor")
    if size > 1000:
        return recorded("workitems.list.toolarge")
    page, everything = int(cursor[2]), list(rows)
    found = everything[page * size : (page + 1) * size]
    envelope = recorded("labels.list").body | {
        "results": copy.deepcopy(found),
        "count": len(found),
        "total_count": len(everything),
        "total_results": len(everything),
        "next_cursor": f"{size}:{page + 1}:0",
        "next_page_results": (page + 1) * size < len(everything),
    }
    return Said(200, envelope)
