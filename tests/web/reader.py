"""A page as a test reads it: a tree of elements, found by tag and attributes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from html.parser import HTMLParser

from flask.testing import FlaskClient

from tests.web.conftest import Web, csrf_in

EMPTY = frozenset({"input", "img", "br", "meta", "link", "rect", "option"})
"""Elements that these pages write without an end."""


def client_of(web: Web) -> FlaskClient:
    """Somebody on this machine, whose requests prove that a page of ours sent them."""
    return _client_of(web)


@lru_cache(maxsize=1)
def _client_of(web: Web) -> FlaskClient:
    client = web.client
    client.environ_base["HTTP_X_CSRF_TOKEN"] = csrf_in(client.get("/ui/me"))
    return client


def viewer_of(web: Web) -> FlaskClient:
    """Somebody who may look at pages and do nothing."""
    viewer = web.signed_in("viewer").client
    viewer.environ_base["HTTP_X_CSRF_TOKEN"] = csrf_in(viewer.get("/ui/me"))
    return viewer


@dataclass
class Element:
    """One element of a page."""

    tag: str
    attrs: dict[str, str | None]
    children: list[Element | str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.attrs[name] or ""

    @property
    def text(self) -> str:
        """All its words, with single spaces."""
        parts = [each if isinstance(each, str) else each.text for each in self.children]
        return " ".join(" ".join(parts).split())

    def all(self, tag: str, **attrs: str) -> list[Element]:
        """Every such element below this one; an underscore at the end of a name does not count."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attrs.items()}
        return [
            each
            for each in self._below()
            if each.tag == tag
            and all(value in (each.attrs.get(name) or "").split() for name, value in wanted.items())
        ]

    def one(self, tag: str, **attrs: str) -> Element:
        """The only such element."""
        (found,) = self.all(tag, **attrs)
        return found

    def _below(self) -> Iterator[Element]:
        for each in self.children:
            if isinstance(each, Element):
                yield each
                yield from each._below()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open = [Element("page", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, dict(attrs))
        self.open[-1].children.append(made)
        if tag not in EMPTY:
            self.open.append(made)

    def handle_endtag(self, tag: str) -> None:
        if tag not in EMPTY:
            assert self.open[-1].tag == tag, f"</{tag}> closes <{self.open[-1].tag}>"
            self.open.pop()

    def handle_data(self, data: str) -> None:
        self.open[-1].children.append(data)


def read(html: str) -> Element:
    """The page; fails when an element is not closed where it should be."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert [each.tag for each in reader.open] == ["page"]
    return reader.open[0]


def values(form: Element) -> dict[str, list[str]]:
    """What a form would send without its buttons, as it stands."""
    found: dict[str, list[str]] = {}
    for each in form.all("input"):
        box = each.attrs.get("type") in ("checkbox", "radio") and "checked" not in each.attrs
        if each.attrs.get("name") and not box:
            found.setdefault(each["name"], []).append(each.attrs.get("value") or "")
    for each in form.all("textarea"):
        found[each["name"]] = [each.text]
    return found
