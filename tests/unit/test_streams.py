"""Lines put together again from the parts in which they come."""

from __future__ import annotations

import os
import tracemalloc

from orch.adapters.streams import LINE_LIMIT, Lines, Stream


def taken(*parts: bytes) -> list[bytes]:
    found: list[bytes] = []
    lines = Lines(found.append)
    for part in parts:
        lines.take(part)
    lines.close()
    return found


def test_lines_are_whole_whatever_the_parts() -> None:
    text = b"one\n\ntwo\nthree"
    whole = [b"one", b"two", b"three"]
    assert taken(text) == whole
    assert taken(*(text[at : at + 1] for at in range(len(text)))) == whole


def test_line_of_the_limit_is_heard_and_a_longer_one_is_passed_over() -> None:
    at_limit = b"x" * LINE_LIMIT
    assert taken(at_limit + b"\n", b"y", at_limit, b"y\nnext\n") == [at_limit, b"next"]


def test_endless_line_takes_no_more_memory_than_the_limit() -> None:
    lines = Lines(lambda _: None)
    part = b"x" * 1_000_000
    tracemalloc.start()
    for _ in range(50):
        lines.take(part + b"")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * LINE_LIMIT


def test_reader_sees_no_secret() -> None:
    reader, writer = os.pipe()
    found: list[bytes] = []
    stream = Stream(reader, [b"token-12345"], [], Lines(found.append))
    for part in (b"a tok", b"en-12345\nb"):
        os.write(writer, part)
        stream.read()
    os.close(writer)
    assert not stream.read()
    os.close(reader)
    assert found == [b"a [masked]", b"b"]
