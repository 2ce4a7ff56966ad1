"""Local days and naive clock times, against Python's own zoneinfo."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.calendar import instants, local_days
from tests.spec.tables import rows

ZONES = ["Europe/Berlin", "Asia/Tokyo", "America/Sao_Paulo"]
ODD_ZONES = [
    "UTC",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Monrovia",
    "Pacific/Apia",
]
EPOCH = datetime(1970, 1, 1)
FIRST, LAST = datetime(1970, 1, 2), datetime(2037, 12, 30)
MICROSECOND, SECOND = timedelta(microseconds=1), timedelta(seconds=1)
DAY, HOUR = 86_400_000_000, 3_600_000_000
CHANGES = [("Europe/Berlin", 116), ("America/Sao_Paulo", 68), ("Australia/Lord_Howe", 110)]


def micros(moment):
    return (moment - EPOCH) // MICROSECOND


def expected_day(instant, zone):
    local = (EPOCH.replace(tzinfo=UTC) + instant * MICROSECOND).astimezone(ZoneInfo(zone))
    return local.date().toordinal() - EPOCH.toordinal()


def expected_instant(wall, zone):
    moment = (EPOCH + wall * MICROSECOND).replace(tzinfo=ZoneInfo(zone), fold=0)
    return micros(moment.astimezone(UTC).replace(tzinfo=None))


def assert_days(moments, zone):
    found = local_days(np.array(moments, np.int64), zone)
    assert found.dtype == np.int32
    assert found.tolist() == [expected_day(moment, zone) for moment in moments]


def assert_instants(walls, zone):
    found = instants(np.array(walls, np.int64), zone)
    assert found.dtype == np.int64
    assert found.tolist() == [expected_instant(wall, zone) for wall in walls]


def changes(zone):
    """Every instant (naive UTC, to the second) from 1970 to 2037 at which the zone's offset changes."""

    def offset(moment):
        return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset()

    found, moment = [], FIRST
    while moment < LAST:
        following = moment + timedelta(hours=12)
        if offset(moment) != offset(following):
            low, high = moment, following
            while high - low > SECOND:
                middle = low + (high - low) // (2 * SECOND) * SECOND
                low, high = (middle, high) if offset(middle) == offset(moment) else (low, middle)
            found.append(high)
        moment = following
    return found


TABLE = """
    zone              | instant                    | day
    Asia/Tokyo        | 2025-03-31T14:59:59.999999 | 2025-03-31
    Asia/Tokyo        | 2025-03-31T15:00:00        | 2025-04-01
    Europe/Berlin     | 2025-03-29T22:59:59.999999 | 2025-03-29
    Europe/Berlin     | 2025-03-29T23:00:00        | 2025-03-30
    Europe/Berlin     | 2025-03-30T21:59:59.999999 | 2025-03-30
    Europe/Berlin     | 2025-03-30T22:00:00        | 2025-03-31
    Europe/Berlin     | 2025-10-25T21:59:59.999999 | 2025-10-25
    Europe/Berlin     | 2025-10-25T22:00:00        | 2025-10-26
    Europe/Berlin     | 2025-10-26T22:59:59.999999 | 2025-10-26
    Europe/Berlin     | 2025-10-26T23:00:00        | 2025-10-27
    America/Sao_Paulo | 2018-11-04T02:59:59.999999 | 2018-11-03
    America/Sao_Paulo | 2018-11-04T03:00:00        | 2018-11-04
    America/Sao_Paulo | 2019-02-17T01:59:59.999999 | 2019-02-16
    America/Sao_Paulo | 2019-02-17T02:59:59.999999 | 2019-02-16
    America/Sao_Paulo | 2019-02-17T03:00:00        | 2019-02-17
    UTC               | 1969-12-31T23:59:59.999999 | 1969-12-31
    UTC               | 1970-01-01T00:00:00        | 1970-01-01
"""


def test_local_days_of_the_table():
    """Days have 23 and 25 hours in Berlin; in São Paulo the clocks changed at midnight itself."""
    for row in rows(TABLE, zone=str, instant=datetime.fromisoformat, day=datetime.fromisoformat):
        day = local_days(np.array([micros(row["instant"])], np.int64), row["zone"])[0]
        assert EPOCH + timedelta(days=int(day)) == row["day"], row


CLOCKS = """
    zone              | wall                | instant
    Asia/Tokyo        | 2025-04-01T00:00:00 | 2025-03-31T15:00:00
    Europe/Berlin     | 2025-03-30T01:59:59 | 2025-03-30T00:59:59
    Europe/Berlin     | 2025-03-30T02:00:00 | 2025-03-30T01:00:00
    Europe/Berlin     | 2025-03-30T02:59:59 | 2025-03-30T01:59:59
    Europe/Berlin     | 2025-03-30T03:00:00 | 2025-03-30T01:00:00
    Europe/Berlin     | 2025-10-26T02:00:00 | 2025-10-26T00:00:00
    Europe/Berlin     | 2025-10-26T02:59:59 | 2025-10-26T00:59:59
    Europe/Berlin     | 2025-10-26T03:00:00 | 2025-10-26T02:00:00
    America/Sao_Paulo | 2018-11-04T00:00:00 | 2018-11-04T03:00:00
    America/Sao_Paulo | 2019-02-16T23:30:00 | 2019-02-17T01:30:00
    America/Sao_Paulo | 2019-02-17T00:00:00 | 2019-02-17T03:00:00
"""


def test_instants_of_the_table():
    """A time skipped by the clock counts on from before the change; a time that stood twice is the first."""
    for row in rows(CLOCKS, zone=str, wall=datetime.fromisoformat, instant=datetime.fromisoformat):
        instant = instants(np.array([micros(row["wall"])], np.int64), row["zone"])[0]
        assert instant == micros(row["instant"]), row


@pytest.mark.parametrize(("zone", "at_least"), CHANGES)
def test_every_change_of_the_clock_to_the_second(zone, at_least):
    turns = [micros(change) for change in changes(zone)]
    assert len(turns) >= at_least
    steps = [hours * HOUR // 2 + extra for hours in range(-4, 5) for extra in (-1_000_000, -1, 0, 1, 1_000_000)]
    moments = [turn + step for turn in turns for step in steps]
    assert_days(moments, zone)
    walls = [moment + hours * HOUR for moment in moments for hours in range(-3, 12)]
    assert_instants(walls, zone)


@pytest.mark.parametrize("zone", ZONES)
def test_around_a_midnight_a_week(zone):
    """1970 to 2037: the microsecond before a local midnight, midnight, and the one after."""
    walls = [week * 7 * DAY + step for week in range(3_545) for step in (-1, 0, 1)]
    assert_instants(walls, zone)
    assert_days([expected_instant(wall, zone) for wall in walls], zone)


@pytest.mark.parametrize("zone", ZONES + ODD_ZONES)
@given(moments=st.lists(st.integers(micros(FIRST), micros(LAST)), max_size=20))
def test_any_moment_in_any_zone(zone, moments):
    assert_days(moments, zone)
    assert_instants(moments, zone)


def test_no_moments():
    assert local_days(np.zeros(0, np.int64), "Asia/Tokyo").tolist() == []
    assert instants(np.zeros(0, np.int64), "Asia/Tokyo").tolist() == []
