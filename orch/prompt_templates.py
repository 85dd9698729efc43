"""Loads the prompt templates and refuses at once whatever could fail, or mislead, later.

A template may say text, print the variables it is given, ask for them with `if`, and go through a
list with `for`. Everything else of the template language is refused, so that a template that was
loaded can be rendered whatever the variables hold.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from orch.errors import ConfigError

SUFFIX: Final = ".md"
LIMIT: Final = 100_000
"""Bytes a template may have."""
ALLOWED: Final = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.If,
    nodes.For,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
)
COMPARISONS: Final = frozenset({"eq", "ne"})
"""What any two values can be asked for without an error."""


@dataclass(frozen=True)
class Kind:
    """What the templates of one kind are given, and what each of them has to print."""

    variables: frozenset[str]
    lists: frozenset[str] = frozenset()
    """Those variables that a `for` may go through; they can be printed in no other way."""
    due: tuple[str, ...] = ()
    """Variables that have to be printed under no condition but that they say something."""


@dataclass(frozen=True)
class _Source:
    """One template's text, and how errors call the file."""

    name: str
    text: str


class Loader:
    """Compiles templates and gathers every problem, so that one error can tell them all."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._environment = ImmutableSandboxedEnvironment(
            autoescape=False,  # a prompt is plain text, no page
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        for names in (self._environment.globals, self._environment.filters):
            names.clear()

    def load(self, path: Path, shown: str, kind: Kind) -> Template | None:
        """The template in a file; None when there is a problem, which is kept."""
        source = self._read(path, shown)
        if source is None:
            return None
        try:
            tree = self._environment.parse(source.text)
            # Before it is compiled: the compiler works out what is constant, however large.
            wrong = sorted(set(_wrong(tree, kind)))
            template = None if wrong else self._environment.from_string(source.text)
        except TemplateSyntaxError as error:
            wrong, template = [(error.lineno, error.message or "it is not a template")], None
        except (TemplateError, RecursionError) as error:
            wrong, template = [(1, str(error))], None
        self.problems += [f"{source.name}, line {line}: {what}" for line, what in wrong]
        return template

    def finish(self) -> None:
        """Raises ConfigError when there was any problem, naming all."""
        if self.problems:
            listed = "\n  ".join(self.problems)
            raise ConfigError(
                f"The prompt templates cannot be used:\n  {listed}",
                suggested_fix="Correct the files named above, then start again.",
            )

    def _read(self, path: Path, shown: str) -> _Source | None:
        try:
            if not path.is_file():
                self.problems.append(f"{shown}: there is no such file")
                return None
            with path.open("rb") as file:
                found = file.read(LIMIT + 1)
            text = found.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = found.count(b"\n", 0, error.start) + 1
            self.problems.append(f"{shown}, line {line}: it is not UTF-8")
        except OSError as error:
            self.problems.append(f"{shown}: it cannot be read: {error.strerror}")
        else:
            if len(found) <= LIMIT:
                return _Source(shown, text)
            self.problems.append(f"{shown}: it is larger than {LIMIT} bytes")
        return None


def overriding(folder: Path, stages: Collection[str], problems: list[str]) -> Mapping[str, Path]:
    """The files in a folder that replace the template of a stage; strangers become problems.

    Files whose name begins with a dot are passed over: editors leave them.
    """
    try:
        files = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        problems.append(f"{folder}: it cannot be listed: {error.strerror}")
        return {}
    known = {f"{stage}{SUFFIX}": stage for stage in stages}
    for path in files:
        if path.name not in known:
            problems.append(f"{path}: it is named for no stage; known: {', '.join(known)}")
    return {known[path.name]: path for path in files if path.name in known}


def _wrong(tree: nodes.Template, kind: Kind) -> Iterator[tuple[int, str]]:
    """What is wrong with a template that parses: line, and what."""
    yield from _wrong_below(tree, kind, kind.variables | kind.lists)
    missing = set(kind.due) - set(_printed(tree.body))
    for name in sorted(missing):
        yield 1, f"`{{{{ {name} }}}}` is nowhere printed without a condition, and has to be"


def _wrong_below(node: nodes.Node, kind: Kind, known: frozenset[str]) -> Iterator[tuple[int, str]]:
    if not isinstance(node, ALLOWED):
        yield node.lineno, f"{_called(node)} cannot be used in a prompt"
        return
    if isinstance(node, nodes.Name) and node.ctx == "load" and node.name not in known:
        given = ", ".join(sorted(kind.variables | kind.lists))
        yield node.lineno, f"the variable `{node.name}` is unknown; known: {given}"
    yield from _misused(node, kind)
    inner = known
    if isinstance(node, nodes.For) and isinstance(node.target, nodes.Name):
        inner = known | {node.target.name}
    outside = ("iter", "else_") if isinstance(node, nodes.For) else ()
    for child in node.iter_child_nodes(only=outside or None):
        yield from _wrong_below(child, kind, known)
    if outside:
        for child in node.iter_child_nodes(exclude=(*outside, "target")):
            yield from _wrong_below(child, kind, inner)


def _misused(node: nodes.Node, kind: Kind) -> Iterator[tuple[int, str]]:
    if isinstance(node, nodes.For):
        yield from _misled(node, kind)
    elif isinstance(node, nodes.Compare) and {each.op for each in node.ops} - COMPARISONS:
        yield node.lineno, "only == and != can be asked in a prompt"
    elif isinstance(node, nodes.Output):
        for name in node.find_all(nodes.Name):
            if name.name in kind.lists:
                yield name.lineno, f"`{name.name}` is a list: go through it with `for`"


def _misled(node: nodes.For, kind: Kind) -> Iterator[tuple[int, str]]:
    if not (isinstance(node.iter, nodes.Name) and node.iter.name in kind.lists):
        yield node.lineno, f"`for` goes only through {', '.join(sorted(kind.lists)) or 'lists'}"
    taken = kind.variables | kind.lists | {"loop"}
    if not isinstance(node.target, nodes.Name) or node.target.name in taken:
        yield node.lineno, "`for` needs one new name"
    if node.recursive:
        yield node.lineno, "a recursive `for` cannot be used in a prompt"


def _printed(body: list[nodes.Node]) -> Iterator[str]:
    """The variables printed in any case, or if only they say something."""
    for node in body:
        if isinstance(node, nodes.Output):
            yield from (each.name for each in node.nodes if isinstance(each, nodes.Name))
        elif isinstance(node, nodes.If) and isinstance(node.test, nodes.Name):
            yield from (name for name in _printed(node.body) if name == node.test.name)


def _called(node: nodes.Node) -> str:
    words: dict[type[nodes.Node], str] = {
        nodes.Filter: "a filter",
        nodes.Call: "a call",
        nodes.Getattr: "an attribute",
        nodes.Getitem: "an item",
        nodes.Include: "`include`",
        nodes.Extends: "`extends`",
        nodes.Assign: "`set`",
        nodes.Macro: "`macro`",
    }
    return words.get(type(node), f"“{type(node).__name__.lower()}”")


def rendered(template: Template, values: Mapping[str, Any]) -> str:
    """The text of a loaded template with these values, without blank lines around it."""
    return template.render(values).strip("\n")
