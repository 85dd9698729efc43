"""The pictures in the docs show what the commands print today."""

from __future__ import annotations

from tests.cli import pictures


def test_the_pictures_in_the_docs_are_what_the_commands_print() -> None:
    drawn = pictures.pictures()
    kept = {name: (pictures.IMAGES / name).read_text(encoding="utf-8") for name in drawn}
    assert kept == drawn, "draw them anew with: python -m tests.cli.pictures"


def test_no_picture_fetches_anything_from_elsewhere() -> None:
    for picture in pictures.pictures().values():
        assert "url(http" not in picture
