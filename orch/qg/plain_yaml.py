"""Reads YAML as plain texts, lists and mappings: no type is guessed, no object is made.

What an agent writes may be hostile: its depth and length are bounded, a key that stands twice is an
error, and a number stays the text it was, so that none of them can be made expensive.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml

from orch import names

DEEPEST: Final = 50
"""Levels of nesting that are read."""
MOST: Final = 20_000
"""Texts, lists and mappings that are read: a second's work, while a lease is running."""


class YamlError(Exception):
    """The text is not YAML that can be used: the line it was seen in, and what is wrong there."""

    def __init__(self, line: int, what: str) -> None:
        self.line = line
        self.what = what
        super().__init__(f"line {line}: {what}")


class _Loader(yaml.BaseLoader):
    """The loader that resolves no types, within bounds and without doubled keys."""

    depth = 0
    count = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """As the base does, to a bounded depth and number."""
        self.depth += 1
        self.count += 1
        line = self.peek_event().start_mark.line + 1
        if self.depth > DEEPEST:
            raise YamlError(line, f"it is nested more than {DEEPEST} levels deep")
        if self.count > MOST:
            raise YamlError(line, f"it has more than {MOST} entries")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """As the base does, for keys that stand once."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    line = key.start_mark.line + 1
                    raise YamlError(line, f"the key `{names.shown(key.value)}` stands twice")
                seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def parsed(text: str) -> Any:
    """What the text says, in texts, lists and mappings; None when it says nothing.

    Raises YamlError.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(line, f"the character U+{error.character:04X} is not allowed") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise YamlError(line, _shortened(error.context, error.problem)) from error
    except yaml.YAMLError as error:
        raise YamlError(1, _shortened(str(error))) from error


def _shortened(*problems: str | None) -> str:
    words = " ".join(", ".join(filter(None, problems)).split()) or "it is not YAML"
    return words if len(words) <= 120 else words[:119] + "…"
