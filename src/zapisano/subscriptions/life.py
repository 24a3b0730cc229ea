"""What is due in a subscription's life, and when: reminders, charges, the pause, the archive.

Pure. Nothing here happens at night: every moment is moved to the operator's daytime. What was
missed while nothing ran is not made up for all at once: of several notices only the newest is
given, charges keep their distances, and whatever must follow a notice waits until that was given.
A charge that was announced and did not come in time is announced anew; a retry is let go.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from zapisano.settings import MOST_REMIND_DAYS, Settings

DAY_BEGINS, DAY_ENDS = time(10), time(20)  # nobody is written to or charged outside of these
EVENING = time(19)  # the last hour of a day
CHARGE_DAYS = (0, 1, 3, 5)  # after the end of paid time
CHARGE_NOTICE = timedelta(days=3)  # told of it at least so long before
CHARGES_END = timedelta(days=CHARGE_DAYS[-1] + 2)  # after the first: a later retry is let go
CHARGE_TAKES = timedelta(hours=1)  # a charge that succeeds spares the word that time is over
PAUSE_NOTICE = timedelta(days=1)
ARCHIVE_NOTICE = timedelta(days=7)
DAY = timedelta(days=1)
CHARGE_MAY_WAIT = DAY  # after the announced moment; later than that it counts as unannounced
RETRY_AFTER = timedelta(hours=1)
# No notice is given sooner than this before the end.
LONGEST_NOTICE = timedelta(days=MOST_REMIND_DAYS + 1)


class Word(StrEnum):
    """What the owner is told; the pause and the archive have messages of their own."""

    BEFORE = "before"
    TODAY = "today"
    EVE = "eve"  # time ends tomorrow, before anybody may be written to
    OVER = "over"
    LAST_DAY = "last_day"
    CHARGE = "charge"
    LAST_CALL = "last_call"


REMINDERS = frozenset({Word.BEFORE, Word.TODAY, Word.EVE})
OVER_RANK, LAST_DAY_RANK = 1, 2  # a reminder's rank is minus its days: they rise with time


@dataclass(frozen=True)
class Terms:
    """What the operator has decided."""

    remind_days: tuple[int, ...]
    grace: timedelta
    archive: timedelta
    zone: ZoneInfo


@dataclass(frozen=True)
class SoFar:
    """What was done for this end of paid time.

    `told` is the rank of the last notice, `warned_at` when the owner was first told that the time
    is over, `announced_at` when told of the coming charge: the first time, or anew.
    """

    told: int | None = None
    warned_at: datetime | None = None
    announced_at: datetime | None = None
    charges: int = 0
    charged_at: datetime | None = None
    paused_at: datetime | None = None
    last_call_at: datetime | None = None


@dataclass(frozen=True)
class Subject:
    """Whose life it is: the end of paid time, since when that is the end, and what was done.

    `autopay` says whether there is a saved method to charge.
    """

    paid_until: datetime
    changed_at: datetime
    autopay: bool
    so_far: SoFar


@dataclass(frozen=True)
class Tell:
    """Give a notice. `acts_at` is when the bot pauses, or closes after the last call.

    `announces` says that no other has told of the charge at `charge_at` yet.
    """

    word: Word
    rank: int | None = None
    acts_at: datetime | None = None
    charge_at: datetime | None = None
    announces: bool = False


@dataclass(frozen=True)
class Attempt:
    """Charge the saved method, for the `number`-th time from 0."""

    number: int


@dataclass(frozen=True)
class Pause:
    """Suspend for want of payment."""


@dataclass(frozen=True)
class Archive:
    """Export and put away."""


Step = Tell | Attempt | Pause | Archive


@dataclass(frozen=True)
class Agenda:
    """What is to be done now, and when to look again; None when there is nothing left."""

    due: tuple[Step, ...]
    next_at: datetime | None


def terms_of(settings: Settings) -> Terms:
    """Return what the settings say."""
    return Terms(
        remind_days=settings.remind_days,
        grace=timedelta(days=settings.grace_days),
        archive=timedelta(days=settings.archive_days),
        zone=ZoneInfo(settings.time_zone),
    )


def daytime(moment: datetime, terms: Terms) -> datetime:
    """Return the first moment from `moment` on that is no night."""
    local = moment.astimezone(terms.zone)
    if DAY_BEGINS <= local.time() < DAY_ENDS:
        return moment
    date = local.date() if local.time() < DAY_BEGINS else local.date() + DAY
    return datetime.combine(date, DAY_BEGINS, terms.zone).astimezone(moment.tzinfo)


def daytime_began(now: datetime, terms: Terms) -> datetime:
    """Return when the day of `now` begins: whatever was due before that has a day in the past."""
    return datetime.combine(now.astimezone(terms.zone).date(), DAY_BEGINS, terms.zone)


def reminder(word: Word, end: datetime, terms: Terms, now: datetime) -> tuple[Word, int] | None:
    """Return what a reminder says at `now` and the days that are left; None once time is over.

    One that is late counts the days that are left by then.
    """
    if now >= end:
        return None
    days = (end.astimezone(terms.zone).date() - now.astimezone(terms.zone).date()).days
    if not days:
        return Word.TODAY, 0
    return (Word.EVE, 0) if word is Word.EVE and days == 1 else (Word.BEFORE, days)


def agenda(subject: Subject, terms: Terms, now: datetime) -> Agenda:
    """Return what is due at `now` and the next moment; doing what is due empties it."""
    plan = [(daytime(at, terms), step) for at, step in _plan(subject, terms, now)]
    if daytime(now, terms) != now:
        return Agenda((), daytime(now, terms) if plan else None)
    due = _without_old_news([step for at, step in plan if at <= now])
    left = subject
    for step in due:
        left = replace(left, so_far=done(left.so_far, step, now))
    later = [daytime(at, terms) for at, _ in _plan(left, terms, now)]
    # Only an archive that could not be made is still due: it is tried again.
    later = [at if at > now else daytime(now + RETRY_AFTER, terms) for at in later]
    return Agenda(tuple(due), min(later, default=None))


def done(so_far: SoFar, step: Step, now: datetime) -> SoFar:
    """Return what was done once `step` is done, too."""
    match step:
        case Tell(Word.LAST_CALL):
            return replace(so_far, last_call_at=now)
        case Tell():
            if step.rank is not None:
                so_far = replace(so_far, told=step.rank)
                if step.rank >= OVER_RANK:
                    so_far = replace(so_far, warned_at=so_far.warned_at or now)
            return replace(so_far, announced_at=now) if step.announces else so_far
        case Attempt():
            return replace(so_far, charges=step.number + 1, charged_at=now)
        case Pause():
            return replace(so_far, paused_at=now)
        case Archive():
            return so_far


def _without_old_news(due: list[Step]) -> list[Step]:
    """Keep the newest notice only, and none where what it announces happens now."""
    tells = [step for step in due if isinstance(step, Tell)]
    others: list[Step] = [step for step in due if not isinstance(step, Tell)]
    if not tells or any(isinstance(step, Pause | Archive) for step in others):
        return others
    newest = max(tells, key=lambda tell: -100 if tell.rank is None else tell.rank)
    return [*others, newest]


def next_charge_at(subject: Subject, terms: Terms, now: datetime) -> datetime | None:
    """Return when the saved method is charged next, None if it will not be: what notices name.

    Never before `now`. Nobody is charged before being told of it, so the day of a charge that is
    not announced yet may move on; none is announced for the first time to who is paused already.
    """
    if subject.so_far.announced_at is None and subject.so_far.paused_at is not None:
        return None
    subject = _as_announced(subject, terms, now)
    if subject.autopay and subject.so_far.announced_at is None:
        at = _first_charge_at(subject, terms, now)
    else:
        at = next((at for at, _ in _charges(subject, terms, now)), None)
    return None if at is None else daytime(max(at, now), terms)


def _plan(subject: Subject, terms: Terms, now: datetime) -> Iterator[tuple[datetime, Step]]:
    """Yield all that is still to come, as far as it is known, with the moments it is due at."""
    is_late = subject != (subject := _as_announced(subject, terms, now))
    yield from _charges(subject, terms, now)
    if subject.so_far.paused_at is None:
        yield from _before_the_pause(subject, terms, now)
    elif is_late:
        charge_at = _first_charge_at(subject, terms, now)
        tell = Tell(Word.CHARGE, charge_at=charge_at, announces=True)
        yield subject.so_far.paused_at, tell  # what closes the business waits for it
    else:
        yield from _after_the_pause(subject, subject.so_far.paused_at, terms, now)


def _as_announced(subject: Subject, terms: Terms, now: datetime) -> Subject:
    """Forget an announcement whose charge has not come in time: a long pause, or an outage."""
    so_far = subject.so_far
    if not subject.autopay or so_far.announced_at is None or so_far.charges:
        return subject
    if now < _first_charge_at(subject, terms, now) + CHARGE_MAY_WAIT:
        return subject
    return replace(subject, so_far=replace(so_far, announced_at=None))


def charges_end_at(paid_until: datetime, announced_at: datetime | None) -> datetime:
    """Return from when on nothing is charged any more for the period that begins at `paid_until`.

    It is reckoned from the first charge: what its owner was told of long ago comes no more.
    """
    first_at = paid_until if announced_at is None else announced_at + CHARGE_NOTICE
    return max(paid_until, first_at) + CHARGES_END


def _announced_for(subject: Subject, terms: Terms, now: datetime) -> datetime:
    """Return the first moment that may be charged at: after the end, and after a notice.

    One that was not given yet is given now, or when that makes no difference.
    """
    told_at = subject.so_far.announced_at or daytime(now, terms)
    return max(subject.paid_until, told_at + CHARGE_NOTICE)


def _first_charge_at(subject: Subject, terms: Terms, now: datetime) -> datetime:
    return daytime(_announced_for(subject, terms, now), terms)


def _charges(subject: Subject, terms: Terms, now: datetime) -> Iterator[tuple[datetime, Step]]:
    so_far = subject.so_far
    number = so_far.charges
    if not subject.autopay or so_far.announced_at is None or number >= len(CHARGE_DAYS):
        return
    at = _first_charge_at(subject, terms, now) + timedelta(days=CHARGE_DAYS[number])
    if so_far.charged_at is not None:
        pause = timedelta(days=CHARGE_DAYS[number] - CHARGE_DAYS[number - 1])
        at = max(at, so_far.charged_at + pause)
    comes_at = daytime(max(at, now), terms)
    if comes_at < charges_end_at(subject.paid_until, so_far.announced_at):
        yield at, Attempt(number)


def _before_the_pause(
    subject: Subject, terms: Terms, now: datetime
) -> Iterator[tuple[datetime, Step]]:
    so_far, end = subject.so_far, subject.paid_until
    grace_from = _announced_for(subject, terms, now) if subject.autopay else end
    first_charge = subject.autopay and not so_far.charges
    charge_at = daytime(max(grace_from, now), terms) if first_charge else None
    announces = first_charge and so_far.announced_at is None
    pause_at = _pause_at(subject, terms, grace_from, now)
    for at, rank, word in _notices(subject, terms, pause_at, now):
        if so_far.told is None or rank > so_far.told:
            yield at, Tell(word, rank, pause_at, charge_at, announces)
    if announces:
        yield end - CHARGE_NOTICE, Tell(Word.CHARGE, None, pause_at, charge_at, announces)
        return  # the pause waits for it
    if so_far.warned_at is not None or not terms.grace:
        yield pause_at, Pause()


def _after_the_pause(
    subject: Subject, paused_at: datetime, terms: Terms, now: datetime
) -> Iterator[tuple[datetime, Step]]:
    """Yield the last call and the archive; a charge that was announced is let through first."""
    so_far, not_before = subject.so_far, paused_at
    for at, step in _charges(subject, terms, now):
        if step == Attempt(0):
            not_before = daytime(at, terms) + CHARGE_TAKES
    if so_far.last_call_at is None:
        call_at = max(paused_at + terms.archive - ARCHIVE_NOTICE, not_before)
        acts_at = daytime(max(now, call_at) + ARCHIVE_NOTICE, terms)
        yield call_at, Tell(Word.LAST_CALL, acts_at=acts_at)
    else:
        closes_at = max(paused_at + terms.archive, so_far.last_call_at + ARCHIVE_NOTICE)
        yield max(closes_at, not_before), Archive()


def _pause_at(subject: Subject, terms: Terms, grace_from: datetime, now: datetime) -> datetime:
    """Return when the bot pauses: nobody's without a warning a day before, if there is grace.

    A charge of that same moment is let through first.
    """
    at = grace_from + terms.grace + (CHARGE_TAKES if subject.autopay else timedelta(0))
    if terms.grace:
        at = max(at, (subject.so_far.warned_at or now) + PAUSE_NOTICE)
    return daytime(at, terms)


def _notices(
    subject: Subject, terms: Terms, pause_at: datetime, now: datetime
) -> Iterator[tuple[datetime, int, Word]]:
    """Yield the notices of this end with their moments and ranks."""
    for days in terms.remind_days:
        yield from _reminders(subject, terms, days, now)
    if terms.grace:
        yield daytime(subject.paid_until, terms) + CHARGE_TAKES, OVER_RANK, Word.OVER
    if terms.grace > DAY:
        yield pause_at - PAUSE_NOTICE, LAST_DAY_RANK, Word.LAST_DAY


def _reminders(
    subject: Subject, terms: Terms, days: int, now: datetime
) -> Iterator[tuple[datetime, int, Word]]:
    """Yield the reminder of these days, if there is one.

    One that would have come before this was the end is none. A late one has the rank of the days
    that are left by now, so the same number is not said twice.
    """
    end = subject.paid_until.astimezone(terms.zone)
    at = datetime.combine(end.date() - days * DAY, DAY_BEGINS, terms.zone)
    word = Word.BEFORE if days else Word.TODAY
    if days:
        at = max(at, min(end - days * DAY, datetime.combine(at.date(), EVENING, terms.zone)))
    elif end.time() <= DAY_BEGINS:
        at, word = datetime.combine(end.date() - DAY, EVENING, terms.zone), Word.EVE
    told = subject.so_far.told
    if not subject.changed_at < at < end or (told is not None and told >= -days):
        return
    if (said := reminder(word, end, terms, max(at, now))) is not None:
        yield at, -said[1], said[0]
