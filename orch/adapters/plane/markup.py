"""Texts: plain ones in orch, HTML in Plane."""

from __future__ import annotations

import html
import re
from html.parser import HTMLParser
from typing import Final

from orch import names

_BLOCKS: Final = frozenset(
    {"address", "article", "blockquote", "br", "dd", "div", "dl", "dt", "figure", "h1", "h2", "h3"}
    | {"h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "section", "table", "tr", "ul"}
)
_SILENT: Final = frozenset({"script", "style", "template", "head"})
_LINK: Final = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;:!?)\]]")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0
        self._verbatim = 0
        self._links: list[tuple[str, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag in _SILENT
        self._verbatim += tag == "pre"
        if tag in _BLOCKS:
            self.parts.append("\n- " if tag == "li" else "\n")
        elif tag == "a":
            self._links.append((dict(attrs).get("href") or "", len(self.parts)))
        elif tag == "img":
            self.parts.append(dict(attrs).get("alt") or "")

    def handle_endtag(self, tag: str) -> None:
        self._silent = max(self._silent - (tag in _SILENT), 0)
        self._verbatim = max(self._verbatim - (tag == "pre"), 0)
        if tag in _BLOCKS and tag not in ("br", "hr", "li"):
            self.parts.append("\n")
        elif tag == "a" and self._links:
            target, begin = self._links.pop()
            shown = "".join(self.parts[begin:])
            if target.startswith(("https://", "http://")) and target != shown.strip():
                self.parts.append(f" ({target})")

    def handle_data(self, data: str) -> None:
        if self._silent:
            return
        if not self._verbatim:
            data = re.sub(r"[ \t\r\n\xa0]+", " ", data)
            if self.parts and self.parts[-1][-1:].isspace():
                data = data.removeprefix(" ")
        self.parts.append(data)


def text_of(markup: str) -> str:
    """The plain text of HTML by anybody: blocks on lines of their own, links with their address."""
    reader = _Reader()
    reader.feed(markup[: 4 * names.TEXT_LIMIT])
    reader.close()
    lines = (line.rstrip() for line in "".join(reader.parts).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()[: names.TEXT_LIMIT]


def html_of(text: str) -> str:
    """Plain text as HTML that shows it as it is: paragraphs, lines, and addresses as links."""
    paragraphs = re.split(r"\n{2,}", text.strip())
    return "".join(f"<p>{_linked(each)}</p>" for each in paragraphs if each.strip())


def _linked(text: str) -> str:
    parts, end = list[str](), 0
    for found in _LINK.finditer(text):
        address = html.escape(found[0])
        parts += [html.escape(text[end : found.start()]), f'<a href="{address}">{address}</a>']
        end = found.end()
    return "".join([*parts, html.escape(text[end:])]).replace("\n", "<br>")
