"""When an answer is due: Art. 12(3) GDPR counted by Regulation (EEC, Euratom) No 1182/71.

1. One month from receipt of the request (Art. 12(3), first sentence): it ends with the last hour of the day that has the
   same date in the following month (Art. 3(2)(c) of the Regulation).
2. If that month has no such day, it ends on the last day of that month (Art. 3(2)(c), second sentence).
3. If the last day is a Saturday, a Sunday or a public holiday where the controller answers, it ends with the last hour of
   the next working day (Art. 3(4); working days are defined in Art. 2(2)).
4. Two further months "where necessary", if the person is told why within the first month (Art. 12(3), second and third
   sentence). The three months are counted from receipt, so that rule 3 is applied once, at the end.
5. While the controller has reasonable doubts about identity and has asked (Art. 12(6)), time stands still: every day of
   waiting moves the end by one day, before rule 3. (EDPB Guidelines 01/2022 on the right of access, section 5.3.)

A request of 31 January 2026 is due on 2 March 2026: February has no 31st, and its 28th is a Saturday. Receipt counts from
the day it arrived, working day or not. Nothing here reads a clock: the same values always give the same date.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import IntEnum
from functools import lru_cache
from typing import TypeAlias

from lineage.errors import RefusedByRule, WrongUsage

__all__ = ["AlarmLevel", "DueDate", "Pause", "alarm_level", "due", "extend", "paused_days"]

_ONE_DAY = timedelta(days=1)
_Day: TypeAlias = date  # inside DueDate the name `date` is a field


@dataclass(frozen=True, slots=True)
class DueDate:
    """The last day on which the answer is in time, and how it was found, in a sentence for letters and certificates."""

    date: _Day
    basis: str
    received: _Day
    country: str
    subdivision: str | None
    extended: bool
    paused_days: int


@dataclass(frozen=True, slots=True)
class Pause:
    """Identity was in doubt: `asked` is the day the person was asked, `answered` the day the doubt was gone.

    The day of the answer counts again (half-open): of two readings of "suspended", the one that is due earlier.
    """

    asked: date
    answered: date


class AlarmLevel(IntEnum):
    """How much of the time is used up, in percent of it."""

    NONE = 0
    HALF = 50
    THREE_QUARTERS = 75
    NINE_TENTHS = 90
    OVERDUE = 100


def due(
    received: date, country: str, *, subdivision: str | None = None, extended: bool = False, paused_days: int = 0
) -> DueDate:
    """The due date of a request received on `received` by a controller in `country` (ISO 3166-1 alpha-2, e.g. DE, BY).

    Raises:
        WrongUsage: no holiday calendar for that country or subdivision, or a negative number of paused days.
    """
    if paused_days < 0:
        raise WrongUsage("A pause cannot have a negative number of days.")
    months = 3 if extended else 1
    end, clipped = _same_date_months_later(received, months)
    nominal = end + paused_days * _ONE_DAY
    last_day = nominal
    while not _is_working_day(last_day, country, subdivision):
        last_day += _ONE_DAY
    basis = _basis(received, months, end if clipped else None, paused_days)
    if last_day != nominal:
        place = f"{country}-{subdivision}" if subdivision else country
        basis += (
            f"; {nominal} is {_name_of_rest_day(nominal)} in {place}, so the next working day, {last_day}"
            " (Regulation (EEC, Euratom) 1182/71, Art. 3(4))"
        )
    return DueDate(last_day, basis + ".", received, country, subdivision, extended, paused_days)


def extend(first: DueDate, *, told_on: date, reasons: str) -> DueDate:
    """Two further months, once, when the person has been told the reasons inside the first month.

    Raises:
        RefusedByRule: no reasons, told too late or before the request came, or extended before (Art. 12(3) GDPR).
    """
    if first.extended:
        raise RefusedByRule("The period was extended before; Art. 12(3) GDPR allows it once.")
    if not reasons.strip():
        raise RefusedByRule("An extension needs reasons that the person can read (Art. 12(3) GDPR).")
    if not first.received <= told_on <= first.date:
        raise RefusedByRule(
            f"The person must be told of an extension between {first.received} and {first.date} (Art. 12(3) GDPR).",
            hint="Answer the request now; the first month is the limit.",
        )
    return due(
        first.received, first.country, subdivision=first.subdivision, extended=True, paused_days=first.paused_days
    )


def paused_days(pauses: Iterable[Pause], *, received: date) -> int:
    """The number of different days on which time stood still; overlapping pauses count once.

    Raises:
        WrongUsage: a pause ends before it begins, or begins before the request was received.
    """
    days: set[date] = set()
    for pause in pauses:
        if not received <= pause.asked <= pause.answered:
            raise WrongUsage("A pause must not begin before receipt of the request, nor end before it began.")
        days.update(pause.asked + n * _ONE_DAY for n in range((pause.answered - pause.asked).days))
    return len(days)


def alarm_level(now: datetime, received: date, due: date, *, zone: tzinfo = UTC, paused_days: int = 0) -> AlarmLevel:
    """The highest alarm reached at `now` (aware) between the first hour of `received` and the last hour of `due`.

    The days are those of the controller's `zone`. OVERDUE begins when the due day is over. Of the time between, `paused_days`
    stood still before `now`: they are in `due` already, and use up nothing.

    Raises:
        WrongUsage: a naive time, or a due date before receipt.
    """
    if now.tzinfo is None or due < received:
        raise WrongUsage("An alarm needs a time with a zone, and a due date that is not before receipt.")
    start = datetime.combine(received, time.min, zone)
    end = datetime.combine(due + _ONE_DAY, time.min, zone)
    # Aware datetimes of one zone subtract as wall time; in UTC a summer-time change is a real hour.
    still = paused_days * _ONE_DAY
    total = end.astimezone(UTC) - start.astimezone(UTC) - still
    elapsed = now.astimezone(UTC) - start.astimezone(UTC) - still
    return max((level for level in AlarmLevel if elapsed * 100 >= total * int(level)), default=AlarmLevel.NONE)


def _same_date_months_later(day: date, months: int) -> tuple[date, bool]:
    """The same date so many months later, or the last day of that month and True when it has no such date."""
    from dateutil.relativedelta import relativedelta

    later: date = day + relativedelta(months=months)
    return later, later.day != day.day


def _is_working_day(day: date, country: str, subdivision: str | None) -> bool:
    """Art. 2(2): all days other than public holidays, Sundays and Saturdays."""
    return day.weekday() < 5 and day not in _public_holidays(country, subdivision, day.year)


@lru_cache(maxsize=256)
def _public_holidays(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    import holidays

    try:
        return frozenset(holidays.country_holidays(country, subdiv=subdivision, years=year))
    except NotImplementedError:
        raise WrongUsage(
            "There is no calendar of public holidays for this country or subdivision.",
            hint="Use ISO 3166 codes such as DE, FR or IE, and for a subdivision BY or 67.",
        ) from None


def _basis(received: date, months: int, clipped_to: date | None, paused_days: int) -> str:
    period = "one calendar month" if months == 1 else "three calendar months (one, extended by two)"
    text = f"{period} from receipt on {received} (GDPR Art. 12(3))"
    if clipped_to:
        text += f"; no day {received.day} in {clipped_to:%Y-%m}, so {clipped_to} (Regulation (EEC, Euratom) 1182/71, Art. 3(2)(c))"
    if paused_days:
        plural = "s" if paused_days > 1 else ""
        text += f"; {paused_days} day{plural} added while identity was in doubt (GDPR Art. 12(6))"
    return text


def _name_of_rest_day(day: date) -> str:
    return {5: "a Saturday", 6: "a Sunday"}.get(day.weekday(), "a public holiday")
