"""A month as a keyboard: only days with free time can be pressed."""

import calendar
from collections.abc import Collection
from datetime import date, timedelta

from aiogram.types import InlineKeyboardButton

from zapisano.bots.booking.buttons import Go, Pick, Place, Step, button
from zapisano.bots.booking.screen import Rows
from zapisano.bots.booking.words import month_name, weekday_short

# What fills a row: Telegram wants a text on every button, and draws this one as none.
BLANK = "\N{BRAILLE PATTERN BLANK}"
TAKEN = "·"


def month_rows(pick: Pick, month: date, free: Collection[date], *, first: date, last: date) -> Rows:
    """Return a month's rows: its name between ‹ and ›, weekdays, days.

    Months before `first` and after `last` cannot be reached.
    """
    rows = [_head(pick, month.replace(day=1), first, last)]
    rows.append([_blank(weekday_short(weekday)) for weekday in range(1, 8)])
    weeks = calendar.Calendar().monthdatescalendar(month.year, month.month)
    rows += [
        [_day(pick, day, month, free) for day in week]
        for week in weeks
        if any(day in free for day in week if day.month == month.month)
    ]
    return rows


def _head(pick: Pick, month: date, first: date, last: date) -> list[InlineKeyboardButton]:
    before = month - timedelta(days=1)
    after = (month + timedelta(days=32)).replace(day=1)
    row = [_blank(month_name(month))]
    if first < month:
        row.insert(0, button("‹", pick.to(Step.MONTH, day=before)))
    if after <= last:
        row.append(button("›", pick.to(Step.MONTH, day=after)))
    return row


def _day(pick: Pick, day: date, month: date, free: Collection[date]) -> InlineKeyboardButton:
    if day.month != month.month:
        return _blank(BLANK)
    if day not in free:
        return _blank(TAKEN)
    return button(str(day.day), pick.to(Step.DAY, day=day))


def _blank(text: str) -> InlineKeyboardButton:
    return button(text, Go(to=Place.NOTHING))
