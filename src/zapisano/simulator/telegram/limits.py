"""How often a bot may speak before Telegram answers 429."""

from dataclasses import dataclass

MAX_BUCKETS = 20_000
"""Buckets remembered; full ones are forgotten first, so forgetting changes no answer."""


@dataclass(frozen=True)
class Rate:
    """So many per second, after a burst of so many at once."""

    per_second: float
    burst: float


@dataclass(frozen=True)
class Limits:
    """The limits in force (core.telegram.org/bots/faq#my-bot-is-hitting-limits).

    The FAQ states 30 messages per second for a bot and one per second in a chat, where "short
    bursts" pass; how short is not told, the bursts here are a guess. An edit counts as a message.
    """

    bot: Rate = Rate(30, 30)
    chat: Rate = Rate(1, 20)
    webhook: Rate = Rate(1, 1)


class Limiter:
    """Token buckets by any key; `now` is a monotonic clock in seconds."""

    def __init__(self) -> None:
        self.buckets: dict[object, tuple[float, float]] = {}

    def take(self, wanted: dict[object, Rate], now: float) -> float:
        """Take one from every bucket, or from none: then the wait in seconds is returned."""
        levels = {key: self.level(key, rate, now) for key, rate in wanted.items()}
        wait = max(
            (1 - level) / wanted[key].per_second if level < 1 else 0.0
            for key, level in levels.items()
        )
        if wait == 0:
            self.buckets.update({key: (level - 1, now) for key, level in levels.items()})
            if len(self.buckets) > MAX_BUCKETS:
                self.forget()
        return wait

    def level(self, key: object, rate: Rate, now: float) -> float:
        """Tell how full a bucket is; an unknown one is full."""
        level, at = self.buckets.get(key, (rate.burst, now))
        return min(rate.burst, level + (now - at) * rate.per_second)

    def forget(self) -> None:
        """Drop the older half: long since full again."""
        kept = sorted(self.buckets.items(), key=lambda item: item[1][1])[len(self.buckets) // 2 :]
        self.buckets = dict(kept)
