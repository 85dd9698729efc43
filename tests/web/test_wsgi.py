"""`gunicorn web.wsgi:app`: the app as any WSGI server loads it, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "a-value-nobody-may-log"
FAILING = f"""
from web.wsgi import app

@app.get("/fails")
def fails():
    password = {CANARY.upper()!r}.lower()
    raise RuntimeError("on purpose")

assert app.test_client().get("/fails").status_code == 500
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_fault_is_logged_in_orchs_own_form_without_what_it_held(
    sqlite_database: str, tmp_path: Path, form: str
) -> None:
    env = {"ORCH_DATABASE_URL": sqlite_database, "ORCH_DATA_DIR": str(tmp_path)}
    env |= {"ORCH_LOG_FORMAT": form, "ORCH_BROKER_URL": "memory://"}
    env |= {"PYTHONPATH": ":".join(filter(None, sys.path))}
    ran = subprocess.run(
        [sys.executable, "-c", FAILING], env=env, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert "web.crashed" in ran.stderr
    assert "on purpose" in ran.stderr
    assert "locals" not in ran.stderr
    assert CANARY not in ran.stderr
    lines = ran.stderr.splitlines()
    if form == "json":
        assert "web.crashed" in [json.loads(line)["event"] for line in lines]
    else:
        assert all(line[:4].isdigit() or line.startswith("    | ") for line in lines)
