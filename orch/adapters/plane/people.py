"""Who is who in Plane, by names that nobody can take on to pass for somebody else."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from orch.adapters.plane.client import Plane, understanding

_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class People:
    """The members of a project, each called by one name."""

    def __init__(self, plane: Plane, allowed: Sequence[str]) -> None:
        """`allowed` holds ids, mail addresses and display names: those names are used for them."""
        self._plane, self._allowed = plane, allowed
        self._members: dict[str, dict[str, Any]] = {}
        self._strangers: set[str] = set()
        self._me: dict[str, Any] = {}

    def me(self) -> str:
        """The id of orch's own user."""
        if not self._me:
            known = self._plane.object("/api/v1/users/me/")
            with understanding("users/me"):
                self._me = {**known, "id": str(known["id"])}
        return str(self._me["id"])

    def called(self, user_id: str) -> str:
        """The name of a user: from the allow list if it stands there, else the display name.

        Display names are anybody's choice: one that two have, or that looks like an id or an
        address, names nobody, and the id stands in its place.
        """
        if not user_id or user_id in self._allowed:
            return user_id
        member = self._member(user_id)
        mail = str(member.get("email") or "").casefold()
        for name in self._allowed:
            if "@" in name and name.casefold() == mail:
                return name
        return self._plain_name(member) or user_id

    def unknown(self) -> list[str]:
        """Names of the allow list that name nobody, or more than one."""
        self._read()
        known = {self.called(user_id) for user_id in self._members}
        return [name for name in self._allowed if name not in known]

    def _plain_name(self, member: dict[str, Any]) -> str:
        name = str(member.get("display_name") or "")
        everybody = {**self._members, self.me(): self._me}.values()
        shared = Counter(str(each.get("display_name") or "") for each in everybody)
        is_plain = "@" not in name and not _ID.fullmatch(name)
        return name if is_plain and shared[name] == 1 else ""

    def _member(self, user_id: str) -> dict[str, Any]:
        if user_id not in self._members and user_id not in self._strangers:
            self._read()
            self._strangers |= {user_id} - self._members.keys()
        return self._members.get(user_id, {})

    def _read(self) -> None:
        answer = self._plane.ask("GET", "members/")
        with understanding("members"):
            self._members = {str(each["id"]): dict(each) for each in answer.body}
