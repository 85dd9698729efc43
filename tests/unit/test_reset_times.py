"""Every way in which a provider's limit was seen to be stated."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orch.reset_times import reset_time

NOW = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("or try again in 2 days 17 hours 14 minutes.", timedelta(days=2, hours=17, minutes=14)),
        ("Please try again in 20s.", timedelta(seconds=20)),
        ("retry after 1h2m3s", timedelta(hours=1, minutes=2, seconds=3)),
        ("Please try again in 1.5 seconds", timedelta(seconds=1.5)),
        ("try again in 900ms", timedelta(milliseconds=900)),
        ("limit reached|1772629200", timedelta(hours=1)),
        ('"resets_at": 1772629200, "resets_in_seconds": 3600', timedelta(hours=1)),
        ("resets at: 2026-03-04T15:00:00+0200", timedelta(hours=1)),
        ("You've hit your limit · resets 2pm (UTC)", timedelta(hours=2)),
        ("You've hit your limit · resets 9pm (Asia/Shanghai)", timedelta(hours=1)),
        ("resets 11am (UTC)", timedelta(hours=23)),
        ("limit · resets Mar 6, 12:30pm (UTC)", timedelta(days=2, minutes=30)),
        ("try again at Mar 5th, 2026 12:00 PM (UTC)", timedelta(days=1)),
        ("resets 12am (UTC)", timedelta(hours=12)),
    ],
)
def test_stated_moment_is_found(text: str, wait: timedelta) -> None:
    assert reset_time(text, NOW) == NOW + wait


@pytest.mark.parametrize("zone", ["", " (Mars/Olympus)", " (../../etc/passwd)"])
def test_time_of_day_without_a_known_zone_is_the_next_where_orch_runs(zone: str) -> None:
    found = reset_time(f"try again at 3:45 PM{zone}.", NOW)
    assert found is not None
    assert NOW < found <= NOW + timedelta(days=1)
    here = found.astimezone()
    assert (here.hour, here.minute) == (15, 45)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "You've hit your limit.",
        "limit reached|1000000000",
        "limit reached|9999999999",
        "try again in 99999 days",
        "try again at Feb 30th, 2026 3:45 PM",
        "resets at 2026-13-45T99:00:00Z",
        "try again in a while",
        "resets 99pm (UTC)" * 50,
    ],
)
def test_what_nobody_can_believe_is_no_moment(text: str) -> None:
    assert reset_time(text, NOW) is None


def test_epoch_goes_before_the_words() -> None:
    assert reset_time("resets 2pm (UTC)", NOW, NOW.timestamp() + 60) == NOW + timedelta(minutes=1)
    assert reset_time("resets 2pm (UTC)", NOW, 1e300) is None
