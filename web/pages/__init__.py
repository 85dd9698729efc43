"""The pages for people, under /ui/. Each file declares the addresses of one page or two."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from flask import Flask

from web.pages import (
    control,
    door,
    fleet,
    frame,
    ledger,
    line,
    log,
    notices,
    overview,
    people,
    repo,
    report,
    settings,
    simulate,
    task,
)
from web.routes import Desk

FILES: Final[tuple[ModuleType, ...]] = (
    overview,
    line,
    control,
    task,
    log,
    repo,
    fleet,
    ledger,
    report,
    simulate,
    notices,
    settings,
    door,
    people,
)
"""The files whose pages there are; importing one declares them."""


def register(app: Flask, desk: Desk) -> None:
    """Let the app answer them."""
    frame.prepare(app)
    frame.PAGES.register(app, desk)
