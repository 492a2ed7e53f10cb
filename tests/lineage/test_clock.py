"""The clock against an oracle that was written without looking at it: other calendar arithmetic, other holidays."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineage.clock import AlarmLevel, Pause, alarm_level, due, extend, paused_days
from lineage.errors import RefusedByRule, WrongUsage

# --- oracle: counts days one by one, and knows the holidays from the statutes ------------------------------------------

FIXED = {  # (month, day) of the public holidays by law, without those that move with Easter
    "DE": [(1, 1), (5, 1), (10, 3), (12, 25), (12, 26)],
    "DE-BY": [(1, 1), (1, 6), (5, 1), (10, 3), (11, 1), (12, 25), (12, 26)],
    "FR": [(1, 1), (5, 1), (5, 8), (7, 14), (8, 15), (11, 1), (11, 11), (12, 25)],
    "AT": [(1, 1), (1, 6), (5, 1), (8, 15), (10, 26), (11, 1), (12, 8), (12, 25), (12, 26)],
}
AFTER_EASTER = {"DE": [-2, 1, 39, 50], "DE-BY": [-2, 1, 39, 50, 60], "FR": [1, 39, 50], "AT": [1, 39, 50, 60]}
YEARS = range(2020, 2036)


def easter_sunday(year: int) -> date:
    """Gauss's computus in the form of Lichtenberg (1997)."""
    k = year // 100
    m = 15 + (3 * k + 3) // 4 - (8 * k + 13) // 25
    s = 2 - (3 * k + 3) // 4
    a = year % 19
    d = (19 * a + m) % 30
    r = (d + a // 11) // 29
    og = 21 + d - r
    sz = 7 - (year + year // 4 + s) % 7
    return date(year, 3, 1) + timedelta(days=og + 7 - (og - sz) % 7 - 1)


def rest_days(place: str) -> set[date]:
    days = {date(y, m, d) for y in range(2019, 2038) for m, d in FIXED[place]}
    return days | {easter_sunday(y) + timedelta(days=n) for y in range(2019, 2038) for n in AFTER_EASTER[place]}


def oracle(received: date, months: int, pause: int, rest: set[date]) -> date:
    first = received.replace(day=1)
    for _ in range(months):
        first += timedelta(days=calendar.monthrange(first.year, first.month)[1])
    last = calendar.monthrange(first.year, first.month)[1]
    day = date(first.year, first.month, received.day if received.day <= last else last)
    for _ in range(pause):
        day += timedelta(days=1)
    while calendar.day_name[calendar.weekday(day.year, day.month, day.day)] in {"Saturday", "Sunday"} or day in rest:
        day += timedelta(days=1)
    return day


def every_day() -> Iterator[date]:
    day = date(YEARS.start, 1, 1)
    while day.year < YEARS.stop:
        yield day
        day += timedelta(days=1)


@pytest.mark.parametrize("place", FIXED)
def test_every_day_of_sixteen_years_against_the_oracle(place: str) -> None:
    """4 places x 5,844 days x (plain, extended, paused) = 70,128 cases; 0 differences."""
    country, _, subdivision = place.partition("-")
    rest, differences, cases = rest_days(place), [], 0
    for received in every_day():
        for extended, pause in ((False, 0), (True, 0), (received.day % 2 == 0, received.day % 9)):
            found = due(received, country, subdivision=subdivision or None, extended=extended, paused_days=pause)
            cases += 1
            if found.date != oracle(received, 3 if extended else 1, pause, rest):
                differences.append((received, extended, pause, found.date))
    assert differences == []
    assert cases * len(FIXED) >= 10_000


# --- examples from the specification and from law ----------------------------------------------------------------------


def test_the_example_of_the_specification() -> None:
    found = due(date(2026, 1, 31), "DE")
    assert found.date == date(2026, 3, 2)
    for part in ("2026-01-31", "Art. 12(3)", "2026-02-28", "a Saturday", "1182/71, Art. 3(4)", "Art. 3(2)(c)"):
        assert part in found.basis


@pytest.mark.parametrize(
    ("received", "expected", "why"),
    [
        (date(2026, 3, 5), date(2026, 4, 7), "5 April 2026 is Easter Sunday, the 6th Easter Monday"),
        (date(2026, 8, 31), date(2026, 9, 30), "September has no 31st; its last day is a Wednesday"),
        (date(2024, 1, 31), date(2024, 2, 29), "a leap year"),
        (date(2026, 11, 25), date(2026, 12, 28), "Christmas, Boxing Day and a Sunday"),
        (date(2025, 12, 1), date(2026, 1, 2), "New Year's Day, over the turn of the year"),
    ],
)
def test_known_dates_in_germany(received: date, expected: date, why: str) -> None:
    assert due(received, "DE").date == expected, why


def test_the_place_decides_what_a_holiday_is() -> None:
    assert due(date(2026, 6, 14), "FR").date == date(2026, 7, 15)
    assert due(date(2026, 6, 14), "DE").date == date(2026, 7, 14)
    assert due(date(2025, 12, 6), "DE", subdivision="BY").date == date(2026, 1, 7)


RECEIVED = st.dates(date(2020, 1, 1), date(2035, 12, 31))


@given(RECEIVED, RECEIVED, st.booleans(), st.integers(0, 40))
def test_an_earlier_request_is_never_due_later(a: date, b: date, extended: bool, pause: int) -> None:
    first, second = (due(day, "DE", extended=extended, paused_days=pause) for day in sorted((a, b)))
    assert first.date <= second.date
    assert first.date >= first.received + timedelta(days=28 + pause)


# --- extension and pause -----------------------------------------------------------------------------------------------


def test_an_extension_counts_three_months_from_receipt() -> None:
    first = due(date(2026, 1, 31), "DE", paused_days=0)
    later = extend(first, told_on=date(2026, 3, 2), reasons="Several requests at once.")
    assert later.date == date(2026, 4, 30)
    assert later == due(date(2026, 1, 31), "DE", extended=True)


@pytest.mark.parametrize(
    ("told_on", "reasons"),
    [(date(2026, 3, 3), "reasons"), (date(2026, 1, 30), "reasons"), (date(2026, 2, 10), " ")],
)
def test_an_extension_without_reasons_inside_the_first_month_is_refused(told_on: date, reasons: str) -> None:
    with pytest.raises(RefusedByRule):
        extend(due(date(2026, 1, 31), "DE"), told_on=told_on, reasons=reasons)


def test_a_second_extension_is_refused() -> None:
    extended = due(date(2026, 1, 31), "DE", extended=True)
    with pytest.raises(RefusedByRule):
        extend(extended, told_on=date(2026, 2, 10), reasons="again")


def test_paused_days_count_once_and_not_the_day_of_the_answer() -> None:
    received = date(2026, 1, 10)
    pauses = [Pause(date(2026, 1, 12), date(2026, 1, 15)), Pause(date(2026, 1, 14), date(2026, 1, 16))]
    assert paused_days(pauses, received=received) == 4
    assert paused_days([Pause(received, received)], received=received) == 0
    assert paused_days([], received=received) == 0
    for bad in (Pause(date(2026, 1, 9), date(2026, 1, 12)), Pause(date(2026, 1, 15), date(2026, 1, 12))):
        with pytest.raises(WrongUsage):
            paused_days([bad], received=received)


@pytest.mark.parametrize(("country", "subdivision"), [("XX", None), ("", None), ("DE", "ZZ")])
def test_no_calendar_is_wrong_usage_and_not_a_guess(country: str, subdivision: str | None) -> None:
    with pytest.raises(WrongUsage):
        due(date(2026, 1, 31), country, subdivision=subdivision)
    with pytest.raises(WrongUsage):
        due(date(2026, 1, 31), "DE", paused_days=-1)


# --- alarms ------------------------------------------------------------------------------------------------------------


def test_alarms_at_half_three_quarters_nine_tenths_and_the_end() -> None:
    received, last = date(2026, 1, 1), date(2026, 1, 10)  # ten days of 24 hours in UTC
    start = datetime(2026, 1, 1, tzinfo=UTC)
    steps = {0: 0, 119: 0, 120: 50, 179: 50, 180: 75, 215: 75, 216: 90, 239: 90, 240: 100, 9999: 100}
    for hours, level in steps.items():
        assert alarm_level(start + timedelta(hours=hours), received, last) == level
    assert alarm_level(start - timedelta(days=1), received, last) is AlarmLevel.NONE


def test_the_due_day_ends_at_local_midnight() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 3, 2, 23, 30, tzinfo=UTC)
    assert alarm_level(now, date(2026, 1, 31), date(2026, 3, 2)) is AlarmLevel.NINE_TENTHS
    assert alarm_level(now, date(2026, 1, 31), date(2026, 3, 2), zone=berlin) is AlarmLevel.OVERDUE
    with pytest.raises(WrongUsage):
        alarm_level(now.replace(tzinfo=None), date(2026, 1, 31), date(2026, 3, 2))
