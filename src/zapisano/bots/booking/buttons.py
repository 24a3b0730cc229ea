"""What buttons carry. The whole path of a booking is in its buttons, nothing in memory: an old
button still means what it said, and the server checks it anew. Telegram allows 64 bytes.
"""

from datetime import date, datetime, time
from enum import StrEnum
from typing import Annotated

from aiogram.filters.callback_data import CallbackData
from aiogram.types import InlineKeyboardButton
from pydantic import Field, model_validator

from zapisano.booking import Booking, Slot
from zapisano.booking.model import Stretch

ANYBODY = 0
# Buttons come back from the person's program, which may send anything.
Id = Annotated[int, Field(ge=0, lt=2**53)]
Day = Annotated[str, Field(pattern=r"^(20[0-9]{6})?$")]
Clock = Annotated[str, Field(pattern=r"^([0-9]{4})?$")]


class Step(StrEnum):
    """What a button of the booking path opens."""

    STAFF = "w"
    MONTH = "m"
    DAY = "d"
    CONFIRM = "c"
    DONE = "y"


class Pick(CallbackData, prefix="p"):
    """A step of booking: what has been picked so far. `move` is the booking that is moved."""

    step: Step
    service: Id
    staff: Id = ANYBODY
    day: Day = ""
    at: Clock = ""
    move: Id = 0

    @model_validator(mode="after")
    def _is_whole(self) -> "Pick":
        """Refuse what no button of ours carries: a step without its day, a day that is none."""
        if self.day or self.step in {Step.DAY, Step.CONFIRM, Step.DONE}:
            assert self.picked_day  # noqa: S101 # parsing raises ValueError, which is the refusal
        if self.at or self.step in {Step.CONFIRM, Step.DONE}:
            assert self.picked_time is not None  # noqa: S101 # as above
        return self

    @property
    def staff_id(self) -> int | None:
        """Who was picked; None means anybody."""
        return self.staff or None

    @property
    def picked_day(self) -> date:
        """The day (or any day of the month) that was picked."""
        return datetime.strptime(self.day, "%Y%m%d").date()  # noqa: DTZ007 # a day has no zone

    @property
    def picked_time(self) -> time:
        """The wall time that was picked."""
        return datetime.strptime(self.at, "%H%M").time()  # noqa: DTZ007 # the place's wall clock

    def to(self, step: Step, *, day: date | None = None, at: time | None = None) -> "Pick":
        """Return the same pick, one step on or back."""
        return Pick(
            step=step,
            service=self.service,
            staff=self.staff,
            day=f"{day:%Y%m%d}" if day else self.day,
            at=f"{at:%H%M}" if at else self.at,
            move=self.move,
        )

    def slot(self, slot: Slot) -> "Pick":
        """Return the pick of a free start, to be confirmed."""
        return self.to(Step.CONFIRM, day=slot.day, at=slot.at)


class Place(StrEnum):
    """What opens with one tap from anywhere."""

    HOME = "home"
    BOOK = "book"
    MINE = "mine"
    LANGUAGE = "lang"
    NOTHING = "-"


class Go(CallbackData, prefix="g"):
    """Open a place."""

    to: Place


class Speak(CallbackData, prefix="l"):
    """Choose a language."""

    language: str


class Act(StrEnum):
    """What a customer does with a booking."""

    OPEN = "o"
    MOVE = "m"
    ASK_CANCEL = "x"
    CANCEL = "X"
    CONFIRM = "k"


class Mine(CallbackData, prefix="b"):
    """Do something with a booking of one's own."""

    act: Act
    booking: Id


class Do(CallbackData, prefix="a"):
    """A button of the owner's: what, which one, and one more word."""

    act: str
    id: Id = 0
    word: str = ""

    @property
    def day(self) -> date | None:
        """The word as a day; None when it is none."""
        return _day(self.word)

    @property
    def days(self) -> Stretch | None:
        """The word as days: `20261124-20261207`, or one of them; None when it is none."""
        first, _, last = self.word.partition("-")
        begins, ends = _day(first), _day(last or first)
        return Stretch(begins, ends) if begins and ends else None


def _day(word: str) -> date | None:
    try:
        return datetime.strptime(word, "%Y%m%d").date()  # noqa: DTZ007 # as above
    except ValueError:
        return None


def button(text: str, data: CallbackData) -> InlineKeyboardButton:
    """Return an inline button."""
    return InlineKeyboardButton(text=text, callback_data=data.pack())


def moving(booking: Booking, *, anybody: bool) -> Pick:
    """Return the first step of moving a booking: the same service, the same person if possible."""
    return Pick(
        step=Step.MONTH,
        service=booking.service_id,
        staff=ANYBODY if anybody else booking.staff_id,
        move=booking.id,
    )
