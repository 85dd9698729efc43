"""What a person gets who has to sign in first: the way there, and nothing typed is lost."""

from __future__ import annotations

import json
import re
from typing import Any, Final
from urllib.parse import quote

from flask import Request, Response, redirect, render_template
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response as Answer

from orch.errors import Forbidden
from web.given import CSRF
from web.visits import SAFE, Visit

KEPT_LIMIT: Final = 200_000
"""Characters of a form that are carried through signing in; a longer one is not."""
STRANGERS_LIMIT: Final = 64 * 1024
"""Bytes that are read of what somebody sends who is not signed in, but where a kept form comes."""
HOME: Final = "/ui/"
SIGN_IN: Final = "/ui/sign-in"
_OURS: Final = re.compile(r"/ui/[!-\[\]-~]*\Z")
_NEVER_KEPT: Final = re.compile(CSRF + r"|key|.*password.*", re.IGNORECASE)


def local(address: str) -> str:
    """An address of a page of ours; whatever else was asked for becomes the first page."""
    return address if _OURS.match(address) and "//" not in address.partition("?")[0] else HOME


def turn_away(visit: Visit, asked: Request) -> Answer:
    """The sign-in page, or for a form that was sent a page that keeps it."""
    said = "Your session is over. Sign in to go on."
    if asked.method not in SAFE:
        # Who comes without a cookie of ours has typed nothing into a page of ours.
        kept = "" if visit.is_new else _kept(asked)
        return sign_in_page(visit, 401, kept=kept, said=said)
    there = local(asked.full_path.rstrip("?"))
    if "HX-Request" in asked.headers:  # a part of a page, which no redirect should replace
        return sign_in_page(visit, 401, next=there, said=said)
    return redirect(f"{SIGN_IN}?next={quote(there)}")


def refuse_form(visit: Visit, asked: Request) -> Answer:
    """What a form gets that carries no proof of this visit, or that of another. Raises Forbidden.

    One that the browser itself says is from here may be sent again: its page is only too old.
    """
    may_keep = visit.holder is not None and asked.headers.get("Origin")
    kept = unpack(_kept(asked)) if may_keep else None
    if kept is None:
        raise Forbidden(
            "This form is older than your visit, or did not come from here.",
            suggested_fix="Load the page again and send it once more; cookies must be allowed.",
        )
    said = "This form is older than your visit, so nothing was done."
    return again_page(visit, 403, kept, said)


def _kept(asked: Request) -> str:
    try:
        return pack(asked.path, asked.form)
    except RequestEntityTooLarge:
        return ""


def again_page(visit: Visit, status: int, kept: dict[str, Any], said: str) -> Response:
    """A form that was sent in vain, to be looked at and sent again."""
    facts = {"holder": visit.holder, "csrf": visit.csrf, "said": said}
    text = render_template("again.html", here="", **facts, **kept)
    return Response(text, status, content_type="text/html; charset=utf-8")


def sign_in_page(visit: Visit, status: int = 200, **facts: Any) -> Response:
    """The form: `next` is where to go then, `kept` a form to send again, `said` what is wrong."""
    shown = {"next": HOME, "kept": "", "said": "", "name": ""} | facts
    text = render_template("sign-in.html", here=SIGN_IN, csrf=visit.csrf, **shown)
    return Response(text, status, content_type="text/html; charset=utf-8")


def pack(path: str, form: MultiDict[str, str]) -> str:
    """A form as one text; empty where it is too long, or of no use."""
    fields = [
        [name, value] for name, value in form.items(multi=True) if not _NEVER_KEPT.fullmatch(name)
    ]
    packed = json.dumps({"to": local(path), "fields": fields})
    return packed if fields and len(packed) <= KEPT_LIMIT else ""


def unpack(kept: str) -> dict[str, Any] | None:
    """The form of such a text. It came from the browser, so it may be anything: else None."""
    try:
        found = json.loads(kept)
        json.dumps(found, ensure_ascii=False).encode()  # half a character could not be sent back
        fields = [(name, value) for name, value in found["fields"]]
        whole = isinstance(found["to"], str) and all(
            isinstance(text, str) for pair in fields for text in pair
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    if not whole or any(_NEVER_KEPT.fullmatch(name) for name, _ in fields):
        return None
    return {"to": local(found["to"]), "fields": fields}
