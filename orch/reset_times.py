"""When a provider's limit ends, as its programs put it into words."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

LONGEST: Final = timedelta(days=32)
"""No limit is longer than a month; what is stated beyond that is a mistake, or a trick."""

_EPOCH: Final = re.compile(r"(?:\||resets?_?at\W{1,4})(\d{10})(\d{3})?\b", re.IGNORECASE)
_STAMP: Final = re.compile(
    r"\b(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:?\d\d))"
)
_AFTER: Final = re.compile(
    r"(?:in|after)\W{1,3}((?:\d{1,9}(?:\.\d{1,9})?\s?[a-z]{1,12}(?:,|\s|and){0,8}){1,5})",
    re.IGNORECASE,
)
_SPAN: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s?(ms|[smhdw])[a-z]*", re.IGNORECASE)
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_CLOCK: Final = re.compile(
    r"(?:resets?|again)\s(?:at\s|on\s)?"
    r"(?:(?P<month>[a-z]{3})[a-z]*\s(?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,?\s(?P<year>\d{4}))?(?:,|\sat)?\s)?"
    r"(?:at\s)?(?P<hour>\d{1,2})(?::(?P<minute>\d\d))?\s?(?P<half>[ap])\.?m"
    r"(?:\W{1,2}(?P<zone>[a-z]+(?:/[a-z_+-]+\d{0,2}){0,2})\))?",
    re.IGNORECASE,
)
_MONTHS: Final = "janfebmaraprmayjunjulaugsepoctnovdec"


def reset_time(text: str, now: datetime, epoch: float = 0.0) -> datetime | None:
    """The moment stated, in UTC; None when there is none, or none that can be believed.

    A stated `epoch` (seconds) goes first. A time of day without a zone is meant where the program
    runs, and is the next one to come.
    """
    found = _moment(epoch) if epoch else _stated(text, now)
    return found if found is not None and now < found <= now + LONGEST else None


def _stated(text: str, now: datetime) -> datetime | None:
    if epoch := _EPOCH.search(text):
        return _moment(float(epoch[1]))
    if stamp := _STAMP.search(text):
        return _parsed(stamp[1])
    if clock := _CLOCK.search(text):
        return _next(clock, now)
    if after := _AFTER.search(text):
        spans = _SPAN.findall(after[1])
        seconds = sum(float(amount) * _SECONDS[unit.lower()] for amount, unit in spans)
        return now + timedelta(seconds=min(seconds, 2 * LONGEST.total_seconds()))
    return None


def _moment(epoch: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(epoch, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _parsed(stamp: str) -> datetime | None:
    try:
        return datetime.fromisoformat(stamp).astimezone(UTC)
    except ValueError:
        return None


def _next(clock: re.Match[str], now: datetime) -> datetime | None:
    if not 1 <= int(clock["hour"]) <= 12:
        return None
    here = now.astimezone(_zone(clock["zone"]))
    hour = int(clock["hour"]) % 12 + (12 if clock["half"].lower() == "p" else 0)
    try:
        found = here.replace(hour=hour, minute=int(clock["minute"] or 0), second=0, microsecond=0)
        if clock["month"]:
            month = _MONTHS.index(clock["month"].lower()) // 3 + 1
            year = int(clock["year"] or here.year)
            found = found.replace(year=year, month=month, day=int(clock["day"]))
            later = found if clock["year"] else found.replace(year=year + 1)
        else:
            later = found + timedelta(days=1)
    except ValueError:
        return None
    return (found if found > now else later).astimezone(UTC)


def _zone(name: str | None) -> tzinfo | None:
    """The zone of this name; None, the zone of this machine, when it is unknown."""
    try:
        return ZoneInfo(name) if name else None
    except (OSError, ValueError, KeyError):
        return None
