"""What was measured, as a page: the machine, the date, one table."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import psycopg

from bench.databases import SERVER, conninfo
from bench.measuring import Ratio

PAGE = Path(__file__).with_name("RESULTS.md")
LIBRARIES = ("sqlalchemy", "psycopg", "celery", "kombu", "redis")


def write(found: Sequence[Ratio], now: datetime, command: str) -> None:
    """Write the page anew."""
    lines = [
        "# Measurements",
        "",
        f"`{command}`, {now:%Y-%m-%d}. {machine()}",
        "",
        "Each line is measured beside its reference in the same run, in turns, and the medians are",
        "compared: the ratio is the result, the absolute numbers are this machine's.",
        "",
        "| what | orch | reference | | ratio | bar | |",
        "|---|---:|---:|---|---:|---|---|",
    ]
    lines += [_row(ratio) for ratio in found]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def machine() -> str:
    """Cores, memory and versions, in one sentence."""
    memory = next(
        line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if line
    )
    with psycopg.connect(conninfo(SERVER)) as server:
        postgres = server.info.server_version // 10000
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return (
        f"{os.cpu_count()} cores, "
        f"{int(memory) / 2**20:.0f} GiB, Python {platform.python_version()}, "
        f"PostgreSQL {postgres} with default settings, {libraries}."
    )


def _row(ratio: Ratio) -> str:
    unit = ratio.unit
    cells = [
        ratio.what + (f" ({ratio.note})" if ratio.note else ""),
        f"{ratio.ours:,.2f} {unit}",
        f"{ratio.reference:,.2f} {unit}",
        ratio.beside,
        f"**{ratio.value:.2f}×**",
        ratio.bar,
        ratio.verdict,
    ]
    return "| " + " | ".join(cells) + " |"
