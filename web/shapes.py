"""The words in which `web.answers` describes what calls answer: JSON Schema, strict by default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

Schema = dict[str, Any]
NOTHING_MORE: Final[Mapping[str, Schema]] = {}


def a(*kinds: str, **more: Any) -> Schema:
    """A value of one of these types."""
    return {"type": kinds[0] if len(kinds) == 1 else list(kinds), **more}


def ref(name: str) -> Schema:
    """One of the schemas that have a name."""
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(of: Schema) -> Schema:
    """A list of such values."""
    return {"type": "array", "items": of}


def by_name(of: Schema) -> Schema:
    """An object whose names are data, such as those of repos."""
    return {"type": "object", "additionalProperties": of}


def whole(sometimes: Mapping[str, Schema] = NOTHING_MORE, /, **always: Schema) -> Schema:
    """An object with these properties and no other ones."""
    return {**begun(sometimes, **always), "additionalProperties": False}


def begun(sometimes: Mapping[str, Schema] = NOTHING_MORE, /, **always: Schema) -> Schema:
    """An object with at least these properties; what others say may come on top."""
    return {"type": "object", "required": [*always], "properties": {**always, **sometimes}}


def one_of(*shapes: Schema) -> Schema:
    """A value of any of these shapes."""
    return {"anyOf": [*shapes]}


def or_null(of: Schema) -> Schema:
    """Such a value, or none."""
    return one_of(of, a("null"))


def word(*known: Iterable[str]) -> Schema:
    """One of some words."""
    return {"type": "string", "enum": [each for words in known for each in words]}


YES: Final = a("boolean")
TEXT: Final = a("string")
NUMBER: Final = a("number")
WHOLE: Final = a("integer")
TEXT_OR_NOT: Final = a("string", "null")
WHOLE_OR_NOT: Final = a("integer", "null")
NUMBER_OR_NOT: Final = a("number", "null")
MOMENT: Final = a("string", format="date-time")
MOMENT_OR_NOT: Final = a("string", "null", format="date-time")
TEXTS: Final = list_of(TEXT)
SAID: Final = a("object", description="As it was told; its names differ from kind to kind.")
"""An object that agents, or programs of other versions, filled."""
