"""What is due when paid time ends: by the day, by the hour, after an outage, for any end at all."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.subscriptions.life import (
    REMINDERS,
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
    next_charge_at,
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
        now = found.next_at and found.next_at.astimezone(UTC)  # as the database keeps it
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
    assert told(early)[:6] == [
        ("12-05 10:00", "before 7"),
        ("12-09 10:00", "before 3"),
        ("12-11 10:00", "before 1"),
        ("12-11 19:00", "eve"),
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


def test_a_reminder_that_is_late_tells_the_days_that_are_left_now() -> None:
    gone = (datetime(2026, 12, 5, 12, tzinfo=MOSCOW), datetime(2026, 12, 7, 12, tzinfo=MOSCOW))
    assert told(live(subject(), asleep=gone))[:3] == [
        ("12-07 12:00", "before 5"),
        ("12-09 15:00", "before 3"),
        ("12-11 15:00", "before 1"),
    ]
    gone = (gone[0], datetime(2026, 12, 9, 12, tzinfo=MOSCOW))
    assert told(live(subject(), asleep=gone))[:2] == [
        ("12-09 12:00", "before 3"),
        ("12-11 15:00", "before 1"),
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


def test_a_charge_that_did_not_come_on_its_day_is_announced_anew() -> None:
    """It was announced for the 12th; nothing ran, or support had paused the bot, for weeks."""
    gone = (END - DAY, END + 20 * DAY)
    happened = live(subject(autopay=True), asleep=gone)
    assert told(happened)[2:] == [
        ("01-01 15:00", "over"),
        ("01-04 15:00", "charge 0"),
        ("01-05 15:00", "charge 1"),
        ("01-06 16:00", "last_day"),
        ("01-07 15:00", "charge 2"),
        ("01-07 16:00", "pause"),
        ("01-09 15:00", "charge 3"),
        ("03-31 16:00", "last_call"),
        ("04-07 16:00", "archive"),
    ]
    anew = happened[2][1]
    assert isinstance(anew, Tell)
    assert anew.charge_at == datetime(2027, 1, 4, 15, tzinfo=MOSCOW)


def test_a_charge_that_is_hours_late_comes_on_the_next_day_and_is_named_so() -> None:
    gone = (END - DAY, END + timedelta(hours=20))
    (at, charge), (_, over) = live(subject(autopay=True), asleep=gone)[2:4]
    assert (at, charge) == (datetime(2026, 12, 13, 11, tzinfo=MOSCOW), Attempt(0))
    assert isinstance(over, Tell)
    assert over.charge_at == at


def test_a_retry_that_is_too_late_is_let_go() -> None:
    happened = live(subject(autopay=True), asleep=(END + timedelta(hours=2), END + 10 * DAY))
    assert [step for _, step in happened if isinstance(step, Attempt)] == [Attempt(0)]


def test_in_the_night_before_charges_end_none_is_named() -> None:
    """The morning would be too late for it, so it will not come."""
    first = datetime(2026, 12, 12, 10, tzinfo=MOSCOW)
    so_far = SoFar(announced_at=first - 3 * DAY, charges=1, charged_at=first)
    one = replace(subject(first - timedelta(hours=7), autopay=True), so_far=so_far)
    last_morning = first + 6 * DAY
    assert next_charge_at(one, TERMS, last_morning - timedelta(hours=7)) == last_morning
    assert next_charge_at(one, TERMS, last_morning + timedelta(hours=17)) is None


def test_who_is_paused_and_was_promised_a_charge_is_promised_another_before_the_archive() -> None:
    """Support's pause covered the day of the charge; without grace the time below it ran out."""
    none = replace(TERMS, grace=timedelta(0))
    so_far = SoFar(told=0, announced_at=END - 3 * DAY, paused_at=END)
    one = replace(subject(autopay=True), so_far=so_far)
    for weeks in (6, 20):
        begins = END + 7 * weeks * DAY
        happened = live(one, none, begins)
        first = happened[0][1]
        assert isinstance(first, Tell)
        assert (first.word, first.charge_at) == (Word.CHARGE, happened[1][0])
        assert happened[1][0] >= begins + 3 * DAY
        charges = [step for _, step in happened if isinstance(step, Attempt)]
        assert charges == [Attempt(number) for number in range(4)]
        told_last = [step.word for _, step in happened[2:] if isinstance(step, Tell)]
        assert (told_last, happened[-1][1]) == ([Word.LAST_CALL], Archive())


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
    numbers = [number for _, number in charges]
    assert numbers == [0, 1, 2, 3][: len(numbers)]
    assert bool(numbers) is autopay
    moments = {type(s): at for at, s in happened}
    if autopay:
        promises = [(at, s.charge_at) for at, s in happened if isinstance(s, Tell) and s.charge_at]
        assert all(at <= day for at, day in promises), "no day in the past"
        announced = [(at, s.charge_at) for at, s in happened if isinstance(s, Tell) and s.announces]
        told_at, day = announced[-1]
        assert day is not None
        assert charges[0][0] >= day >= max(end, told_at + 3 * DAY)
        assert charges[0][0] < day + 2 * DAY, "a day late at most, and a night"
        assert charges[-1][0] < day + 7 * DAY
        assert all(b[0] - a[0] >= DAY for a, b in pairwise(charges))
    assert moments[Pause] >= end + terms.grace
    if terms.grace:
        warned = [at for at, s in happened if isinstance(s, Tell) and (s.rank or 0) > 0]
        assert moments[Pause] >= warned[0] + DAY
    call = next(at for at, s in happened if isinstance(s, Tell) and s.word is Word.LAST_CALL)
    assert moments[Archive] >= call + 7 * DAY
    assert moments[Archive] >= moments[Pause] + terms.archive


zones = st.sampled_from(["Europe/Moscow", "America/New_York", "Asia/Kamchatka", "Pacific/Apia"])


@given(ends, zones.map(ZoneInfo), spans, st.timedeltas(timedelta(0), timedelta(days=5)))
def test_reminders_tell_the_truth_by_day_and_once(
    end: datetime, zone: ZoneInfo, wakes: timedelta, sleeps: timedelta
) -> None:
    terms, begun = replace(TERMS, zone=zone), end - timedelta(days=40)
    happened = live(
        subject(end, changed=begun), terms, begun, (begun + wakes, begun + wakes + sleeps)
    )
    reminders = [
        (at.astimezone(zone), step)
        for at, step in happened
        if isinstance(step, Tell) and step.word in REMINDERS
    ]
    ends_on = end.astimezone(zone).date()
    for at, step in reminders:
        assert at < end
        assert time(10) <= at.time() < time(20)
        days = 1 if step.word is Word.EVE else -(step.rank or 0)
        assert days == (ends_on - at.date()).days
        assert (days == 0) == (step.word is Word.TODAY)
    ranks = [step.rank for _, step in reminders]
    assert len(ranks) == len(set(ranks)), "each number once"
    if not sleeps or wakes > timedelta(days=40):
        assert ranks == [-7, -3, -1, 0]


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


@given(ends, terms, st.timedeltas(timedelta(0), timedelta(days=12)), spans, spans)
def test_the_day_that_is_named_is_the_day_of_the_charge(
    end: datetime, terms: Terms, asked: timedelta, wakes: timedelta, sleeps: timedelta
) -> None:
    """Whenever it is asked for after an outage, with or without attempts before."""
    begun = end - 41 * DAY
    one = subject(end, autopay=True, changed=begun)
    gone = (begun + wakes, begun + wakes + sleeps)
    now = max(gone[1], end - 4 * DAY) + asked
    happened = live(one, terms, begun, gone)
    for at, step in happened:
        if at < now:
            one = replace(one, so_far=done(one.so_far, step, at))
    named = next_charge_at(one, terms, now)
    attempts = (at for at, step in happened if isinstance(step, Attempt))
    comes = next((at for at in attempts if at >= now), None)
    days = [at and at.astimezone(terms.zone).date() for at in (named, comes)]
    assert days[0] == days[1]


@pytest.mark.parametrize("hour", [0, 9, 20, 23])
def test_at_night_nothing_is_done(hour: int) -> None:
    now = (END + 40 * DAY).replace(hour=hour, minute=59 if hour == 9 else 0)
    found = agenda(subject(), TERMS, now)
    assert found.due == ()
    assert found.next_at == daytime(now, TERMS)
    assert daytime(now, TERMS) > now
