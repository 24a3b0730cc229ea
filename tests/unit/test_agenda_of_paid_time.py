"""What is due when paid time ends: by the day, by the hour, after an outage, for any end at all."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.subscriptions.life import (
    Archive,
    Attempt,
    Pause,
    SoFar,
    Step,
    Subject,
    Tell,
    Terms,
    Word,
    agenda,
    daytime,
    done,
)

MOSCOW = ZoneInfo("Europe/Moscow")
TERMS = Terms((7, 3, 1, 0), timedelta(days=3), timedelta(days=90), MOSCOW)
DAY = timedelta(days=1)
END = datetime(2026, 12, 12, 15, tzinfo=MOSCOW)
BOUGHT = END - timedelta(days=30)
Done = list[tuple[datetime, Step]]


def subject(end: datetime = END, *, autopay: bool = False, changed: datetime = BOUGHT) -> Subject:
    return Subject(end, changed, autopay, SoFar())


def live(
    one: Subject,
    terms: Terms = TERMS,
    start: datetime = BOUGHT,
    asleep: tuple[datetime, datetime] | None = None,
) -> Done:
    """Live a whole life, waking when asked to; while `asleep` nothing runs."""
    happened: Done = []
    now: datetime | None = start
    while now is not None:
        if asleep and asleep[0] <= now < asleep[1]:
            now = asleep[1]
        found = agenda(one, terms, now)
        for step in found.due:
            happened.append((now, step))
            one = replace(one, so_far=done(one.so_far, step, now))
        if Archive() in found.due:
            break
        assert found.next_at is None or found.next_at > now
        now = found.next_at
    return happened


def told(happened: Done) -> list[tuple[str, str]]:
    """Write what has happened as dates by Moscow's clock, and words."""
    names = {Pause: "pause", Archive: "archive"}
    lines: list[tuple[str, str]] = []
    for at, step in happened:
        match step:
            case Tell(word, rank):
                name = f"{word} {-rank}" if word is Word.BEFORE and rank else str(word)
            case Attempt(number):
                name = f"charge {number}"
            case _:
                name = names[type(step)]
        lines.append((f"{at.astimezone(MOSCOW):%m-%d %H:%M}", name))
    return lines


def test_a_life_that_nobody_pays_for() -> None:
    assert told(live(subject())) == [
        ("12-05 15:00", "before 7"),
        ("12-09 15:00", "before 3"),
        ("12-11 15:00", "before 1"),
        ("12-12 10:00", "today"),
        ("12-12 16:00", "over"),
        ("12-14 15:00", "last_day"),
        ("12-15 15:00", "pause"),
        ("03-08 15:00", "last_call"),
        ("03-15 15:00", "archive"),
    ]


def test_a_saved_method_is_charged_on_four_days_and_that_is_announced() -> None:
    happened = live(subject(autopay=True))
    assert told(happened)[3:-2] == [
        ("12-12 10:00", "today"),
        ("12-12 15:00", "charge 0"),
        ("12-12 16:00", "over"),
        ("12-13 15:00", "charge 1"),
        ("12-14 16:00", "last_day"),
        ("12-15 15:00", "charge 2"),
        ("12-15 16:00", "pause"),
        ("12-17 15:00", "charge 3"),
    ]
    reminders = [step for _, step in happened if isinstance(step, Tell) and (step.rank or 0) < 0]
    assert [reminder.charge_at for reminder in reminders] == [END] * 3


def test_time_that_ends_at_night_disturbs_nobody() -> None:
    late = live(subject(datetime(2026, 12, 12, 23, 30, tzinfo=MOSCOW), autopay=True))
    assert told(late)[:6] == [
        ("12-05 19:00", "before 7"),
        ("12-09 19:00", "before 3"),
        ("12-11 19:00", "before 1"),
        ("12-12 10:00", "today"),
        ("12-13 10:00", "charge 0"),
        ("12-13 11:00", "over"),
    ]
    early = live(subject(datetime(2026, 12, 12, 3, tzinfo=MOSCOW)))
    assert told(early)[:5] == [
        ("12-05 10:00", "before 7"),
        ("12-09 10:00", "before 3"),
        ("12-11 10:00", "before 1"),
        ("12-12 11:00", "over"),
        ("12-14 10:00", "last_day"),
    ]


def test_after_three_days_offline_only_the_newest_notice_is_given() -> None:
    gone = (datetime(2026, 12, 9, 12, tzinfo=MOSCOW), datetime(2026, 12, 12, 12, tzinfo=MOSCOW))
    assert told(live(subject(), asleep=gone))[:3] == [
        ("12-05 15:00", "before 7"),
        ("12-12 12:00", "today"),
        ("12-12 16:00", "over"),
    ]


def test_nobody_is_charged_before_three_days_have_passed_since_it_was_announced() -> None:
    gone = (BOUGHT, datetime(2026, 12, 11, 22, tzinfo=MOSCOW))
    happened = live(subject(autopay=True), asleep=gone)
    assert told(happened) == [
        ("12-12 10:00", "today"),
        ("12-12 16:00", "over"),
        ("12-15 10:00", "charge 0"),
        ("12-16 10:00", "charge 1"),
        ("12-17 11:00", "last_day"),
        ("12-18 10:00", "charge 2"),
        ("12-18 11:00", "pause"),
        ("12-20 10:00", "charge 3"),
        ("03-11 11:00", "last_call"),
        ("03-18 11:00", "archive"),
    ]
    first = happened[0][1]
    assert isinstance(first, Tell)
    assert first.charge_at == datetime(2026, 12, 15, 10, tzinfo=MOSCOW)


def test_a_method_saved_after_the_reminders_is_announced_by_itself() -> None:
    reminded = replace(subject(autopay=True), so_far=SoFar(told=0))
    now = END - timedelta(hours=4)
    found = agenda(reminded, TERMS, now)
    assert [step.word for step in found.due if isinstance(step, Tell)] == [Word.CHARGE]
    after = replace(reminded, so_far=done(reminded.so_far, found.due[0], now))
    assert told(live(after, start=now))[1] == ("12-15 11:00", "charge 0")


def test_a_long_outage_pauses_nobody_without_a_days_warning() -> None:
    gone = (BOUGHT, END + 40 * DAY)
    assert told(live(subject(), asleep=gone))[:2] == [
        ("01-21 15:00", "last_day"),
        ("01-22 15:00", "pause"),
    ]


def test_a_last_call_that_is_late_moves_the_archive() -> None:
    paused = replace(subject(), so_far=SoFar(told=2, warned_at=END, paused_at=END + 3 * DAY))
    assert told(live(paused, start=END + 200 * DAY)) == [
        ("06-30 15:00", "last_call"),
        ("07-07 15:00", "archive"),
    ]


def test_days_that_were_short_from_the_start_are_not_reminded_of_at_once() -> None:
    trial = subject(END, changed=END - 2 * DAY)
    assert told(live(trial, start=END - 2 * DAY))[:2] == [
        ("12-11 15:00", "before 1"),
        ("12-12 10:00", "today"),
    ]


def test_without_grace_the_pause_is_at_the_end() -> None:
    none = replace(TERMS, grace=timedelta(0))
    assert told(live(subject(), none))[3:5] == [("12-12 10:00", "today"), ("12-12 15:00", "pause")]


ends = st.timedeltas(timedelta(0), timedelta(days=730)).map(
    datetime(2026, 1, 1, tzinfo=UTC).__add__
)
terms = st.builds(
    Terms,
    st.sets(st.integers(0, 14), max_size=5).map(lambda days: tuple(sorted(days, reverse=True))),
    st.integers(0, 10).map(lambda days: timedelta(days=days)),
    st.integers(14, 120).map(lambda days: timedelta(days=days)),
    st.sampled_from(["Europe/Moscow", "UTC", "America/New_York", "Asia/Kamchatka"]).map(ZoneInfo),
)
spans = st.timedeltas(timedelta(0), timedelta(days=60))


@given(ends, terms, st.booleans(), spans, spans, spans)
def test_any_life_is_orderly(
    end: datetime,
    terms: Terms,
    autopay: bool,
    length: timedelta,
    wakes: timedelta,
    sleeps: timedelta,
) -> None:
    """Whatever the terms and the outage: daytime only, each step once and in turn, in good time."""
    begun = end - length
    gone = (begun + wakes, begun + wakes + sleeps)
    happened = live(subject(end, autopay=autopay, changed=begun), terms, begun, gone)
    steps = [step for _, step in happened]
    assert [daytime(at, terms) for at, _ in happened] == [at for at, _ in happened]
    assert steps.count(Pause()) == steps.count(Archive()) == 1
    ranks = [s.rank for s in steps if isinstance(s, Tell) and s.rank is not None]
    assert ranks == sorted(set(ranks))
    assert len({at for at, s in happened if isinstance(s, Tell)}) == len(
        [s for s in steps if isinstance(s, Tell)]
    ), "never two notices at once"
    charges = [(at, s.number) for at, s in happened if isinstance(s, Attempt)]
    assert [number for _, number in charges] == ([0, 1, 2, 3] if autopay else [])
    moments = {type(s): at for at, s in happened}
    if autopay:
        announced = next(at for at, s in happened if isinstance(s, Tell) and s.charge_at)
        assert charges[0][0] >= max(end, announced + 3 * DAY)
        assert all(b[0] - a[0] >= DAY for a, b in pairwise(charges))
    assert moments[Pause] >= end + terms.grace
    if terms.grace:
        warned = [at for at, s in happened if isinstance(s, Tell) and (s.rank or 0) > 0]
        assert moments[Pause] >= warned[0] + DAY
    call = next(at for at, s in happened if isinstance(s, Tell) and s.word is Word.LAST_CALL)
    assert moments[Archive] >= call + 7 * DAY
    assert moments[Archive] >= moments[Pause] + terms.archive


@given(ends, terms, st.booleans(), st.timedeltas(timedelta(days=-40), timedelta(days=200)))
def test_what_is_done_is_not_due_again(
    end: datetime, terms: Terms, autopay: bool, since_end: timedelta
) -> None:
    now = daytime(end + since_end, terms)
    one = subject(end, autopay=autopay, changed=end - timedelta(days=41))
    found = agenda(one, terms, now)
    for step in found.due:
        one = replace(one, so_far=done(one.so_far, step, now))
    assert agenda(one, terms, now).due == ()
    assert agenda(one, terms, now).next_at == found.next_at


@pytest.mark.parametrize("hour", [0, 9, 20, 23])
def test_at_night_nothing_is_done(hour: int) -> None:
    now = (END + 40 * DAY).replace(hour=hour, minute=59 if hour == 9 else 0)
    found = agenda(subject(), TERMS, now)
    assert found.due == ()
    assert found.next_at == daytime(now, TERMS)
    assert daytime(now, TERMS) > now
