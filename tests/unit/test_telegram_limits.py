"""Token buckets: a burst passes, then the rate; the wait that is told is enough."""

from hypothesis import given
from hypothesis import strategies as st

from zapisano.simulator.telegram.limits import MAX_BUCKETS, Limiter, Rate


def test_a_burst_passes_and_then_the_rate() -> None:
    limiter, rate = Limiter(), Rate(2, 3)
    assert [limiter.take({"bot": rate}, 100.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.take({"bot": rate}, 100.5) == 0
    assert limiter.take({"bot": rate}, 100.5) == 0.5


def test_nothing_is_taken_when_one_bucket_is_empty() -> None:
    limiter, rate = Limiter(), Rate(1, 1)
    assert limiter.take({"chat": rate}, 0.0) == 0
    assert limiter.take({"bot": rate, "chat": rate}, 0.0) == 1
    assert limiter.take({"bot": rate}, 0.0) == 0


@given(st.lists(st.floats(0, 5), max_size=60), st.floats(0.1, 50), st.integers(1, 10))
def test_never_more_than_burst_and_rate_allow(
    gaps: list[float], per_second: float, burst: int
) -> None:
    limiter, rate = Limiter(), Rate(per_second, burst)
    now, passed = 0.0, 0
    for gap in gaps:
        now += gap
        wait = limiter.take({"bot": rate}, now)
        passed += wait == 0
        assert wait <= 1 / per_second
        assert passed <= burst + now * per_second + 1e-6


def test_memory_is_bounded() -> None:
    limiter, rate = Limiter(), Rate(1, 1)
    for number in range(MAX_BUCKETS + 10):
        limiter.take({number: rate}, float(number))
    assert len(limiter.buckets) <= MAX_BUCKETS
    assert limiter.take({MAX_BUCKETS + 9: rate}, float(MAX_BUCKETS + 9)) > 0
