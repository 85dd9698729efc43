"""Webhooks of trackers and forges: an address for each, open to whoever signs with its secret.

Looked at in an order that lets nobody spend more than he proves: size and kind as announced, the
form of the signature, the bytes up to the limit, the signature, and only then what they say.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NoReturn

from flask import request

from orch.errors import BadInput
from orch.outside import inbox, signals
from orch.outside.signals import Source
from web import given, limits
from web.given import Given
from web.problems import BadSignature, DoorClosed, InboxFull
from web.routes import Call, Desk, Routes

ROUTES: Final = Routes()
FULL_SECONDS: Final = 2.0
"""A sender whose inbox was found full is turned away for so long without looking again."""


@ROUTES.add("POST", "/webhooks/plane", None, Given, "raw")
def webhook_of_plane(call: Call[Given]) -> dict[str, Any]:
    """Take a webhook of Plane, signed by X-Plane-Signature: a hint to look at an item."""
    return _answer(call.desk, "plane")


@ROUTES.add("POST", "/webhooks/gitea", None, Given, "raw")
def webhook_of_gitea(call: Call[Given]) -> dict[str, Any]:
    """Take a webhook of Gitea, signed by X-Gitea-Signature: a hint to look at a repo."""
    return _answer(call.desk, "gitea")


@ROUTES.add("POST", "/webhooks/github", None, Given, "raw")
def webhook_of_github(call: Call[Given]) -> dict[str, Any]:
    """Take a webhook of GitHub, signed by X-Hub-Signature-256: a hint to look at a repo."""
    return _answer(call.desk, "github")


def _answer(desk: Desk, source: Source) -> dict[str, Any]:
    secret = getattr(desk.settings, f"{source}_webhook_secret").get_secret_value()
    if not secret:
        raise DoorClosed(
            f"No webhooks of {source} are taken here: no secret for them is set.",
            suggested_fix=f"Set ORCH_{source.upper()}_WEBHOOK_SECRET, in {source} as well.",
        )
    given.refuse_announced(request)
    given.require_json(request)
    refuse: Callable[[], NoReturn] = partial(_refuse, desk, source)
    claimed = signals.claimed_digest(source, request.headers)
    if claimed is None:
        refuse()
    body = given.raw_body(request)
    if not signals.is_signed(secret, body, claimed):
        refuse()
    return _take(desk, source, body)


def _refuse(desk: Desk, source: Source) -> NoReturn:
    inbox.count(source, "refused")
    desk.later.require_room(desk.line, limits.UNSIGNED, request, desk.clock())
    raise BadSignature


def _take(desk: Desk, source: Source, body: bytes) -> dict[str, Any]:
    now = desk.clock()
    if left := desk.later.left(source, now):
        inbox.count(source, "shed")
        raise InboxFull(retry_after=left)
    try:
        told = given.parse_object(body)
    except BadInput:
        inbox.count(source, "malformed")
        raise
    said = signals.read(source, request.headers, told, desk.hooks)
    digest = hashlib.sha256(body).hexdigest()
    outcome = inbox.accept(desk.line, source, said, digest)
    if outcome == "shed":
        desk.later.tell(source, now, FULL_SECONDS)
        raise InboxFull(retry_after=int(FULL_SECONDS))
    return {"outcome": outcome}
