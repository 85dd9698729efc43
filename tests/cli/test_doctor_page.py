"""docs/doctor.md shows what `orch doctor` prints today."""

from __future__ import annotations

from tests.cli import doctor_page


def test_the_page_shows_what_the_doctor_prints() -> None:
    kept = doctor_page.PAGE.read_text("utf-8")
    assert kept == doctor_page.page(), "write it anew with: make docs"
