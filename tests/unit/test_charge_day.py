"""The day of the next charge that /my shows is the day on which it is made."""

from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from zapisano.subscriptions.life import (
    Attempt,
    SoFar,
    Subject,
    Terms,
    agenda,
    done,
    next_charge_at,
)

MOSCOW = ZoneInfo("Europe/Moscow")
TERMS = Terms((7, 3, 1, 0), timedelta(days=3), timedelta(days=90), MOSCOW)
END = datetime(2026, 12, 12, 15, tzinfo=MOSCOW)


@given(minutes=st.integers(0, 800_000), days=st.integers(1, 400))
def test_every_charge_comes_when_it_was_said(minutes: int, days: int) -> None:
    end = END + timedelta(minutes=minutes)
    now: datetime | None = end - timedelta(days=days)
    assert now is not None
    one = Subject(end, now, autopay=True, so_far=SoFar())
    said = [next_charge_at(one, TERMS, now)]
    made = list[datetime]()
    while now is not None and next_charge_at(one, TERMS, now) is not None:
        found = agenda(one, TERMS, now)
        for step in found.due:
            one = replace(one, so_far=done(one.so_far, step, now))
            if isinstance(step, Attempt):
                made.append(now)
                said.append(next_charge_at(one, TERMS, now))
        now = found.next_at
    assert made == said[:-1]
    assert said[-1] is None
    assert len(made) == 4


def test_nothing_is_promised_where_nothing_will_be_charged() -> None:
    now = END - timedelta(days=9)
    assert next_charge_at(Subject(END, now, autopay=False, so_far=SoFar()), TERMS, now) is None
    paused = SoFar(paused_at=END + timedelta(days=3))
    after = END + timedelta(days=5)
    assert next_charge_at(Subject(END, now, autopay=True, so_far=paused), TERMS, after) is None
