"""Paid time as a row of days: another way to reckon what `subscriptions` and `shrinking` do."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

DAY = timedelta(days=1)


@dataclass
class PaidTime:
    """Every day that was given, with its beginning and what it came from, in order."""

    days: list[tuple[datetime, str]] = field(default_factory=list[tuple[datetime, str]])

    @property
    def end(self) -> datetime | None:
        return self.days[-1][0] + DAY if self.days else None

    def give(self, source: str, number: int, now: datetime) -> None:
        """Behind what there is; from now on where that is over."""
        start = max(self.end or now, now)
        self.days.extend((start + n * DAY, source) for n in range(number))

    def take(self, source: str, number: int, now: datetime) -> int:
        """Take the last days of a source that have not begun; return how many there were."""
        unused = [n for n, (begins, of) in enumerate(self.days) if of == source and begins >= now]
        for n in reversed(taken := unused[max(0, len(unused) - number) :]):
            self.days[n:] = [(begins - DAY, of) for begins, of in self.days[n + 1 :]]
        return len(taken)
