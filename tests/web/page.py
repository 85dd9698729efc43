"""A page as tests read it: its texts, its links, and what would be wrong in any page."""

from __future__ import annotations

from html.parser import HTMLParser

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.web.conftest import Web

VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source"})
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}} {% raw %} %s ${jndi:x}",
    "x" * 255,
    "   ",
    "\u202egnp.exe \u200b \U0001f469\u200d\U0001f4bb",
    "-m --exec=id $(id) `id` ; rm -rf ~",
)
"""B22 to B29: titles and reasons that must stay text."""


class Page(HTMLParser):
    """Reads one page strictly enough to notice what a browser would forgive."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute of {tag} stands there twice"
        assert not {"style"} & set(given), tag
        assert not any(name.startswith("on") for name in given), tag
        assert not str(given.get("href", "")).startswith("javascript:")
        assert tag != "script" or given.get("src", "").startswith("/static/")
        self.tags.append((tag, given))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        last = self.open.pop() if self.open else "nothing"
        assert last == tag, f"</{tag}> where {last} is open"

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        """All that is read, on one line."""
        return " ".join(" ".join(self.texts).split())

    def links(self) -> list[str]:
        """Where one can go from here."""
        return [str(given["href"]) for tag, given in self.tags if tag == "a" and "href" in given]

    def controls(self) -> list[str]:
        """The verbs of the controls that are offered."""
        heads = "/ui/control?verb="
        return [
            link.removeprefix(heads).partition("&")[0]
            for link in self.links()
            if link.startswith(heads)
        ]


def person(web: Web, role: str = "operator") -> FlaskClient:
    """Somebody with a browser, of this role."""
    if role not in web.known:
        web.known[role] = web.person(f"p-{role}", role)
    visitor = web.visitor()
    assert visitor.sign_in(web.known[role]).status_code == 303
    return visitor.client


def get(client: FlaskClient, address: str) -> Page:
    """A page that is there."""
    return of(client.get(address))


def of(answer: TestResponse) -> Page:
    """The page of an answer."""
    assert answer.status_code == 200, answer.text[:2000]
    assert answer.content_type == "text/html; charset=utf-8"
    return Page(answer.text)
