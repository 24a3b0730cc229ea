"""Prices: exact costs, and files whose prices cannot be meant."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.credits.model import CENT
from zapisano.credits.prices import (
    MOST_PER_CALL,
    MOST_PER_MILLION,
    MOST_TOKENS,
    UNIT,
    Price,
    Prices,
    Tokens,
    UnknownModel,
    read_prices,
)
from zapisano.errors import BrokenSetting, Refused
from zapisano.settings import Settings, load

PACKAGED = read_prices(Settings.model_fields["credits_prices_file"].default)
OPUS = "anthropic/claude-opus-4.6"
HEAD = f'unit = "{UNIT}"\n'
FIT = '[models."a/b"]\ninput = 300\noutput = 1500\n'

counts = st.integers(0, MOST_TOKENS)
per_million = st.decimals(0, MOST_PER_MILLION, places=6)
prices = st.builds(
    Price, per_million, per_million, per_million, st.decimals(0, MOST_PER_CALL, places=6)
)


@pytest.fixture
def write(tmp_path: Path) -> Path:
    return tmp_path / "prices.toml"


def problems(path: Path, content: str) -> list[str]:
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BrokenSetting) as caught:
        read_prices(path)
    return caught.value.detail.splitlines()


def test_the_documented_call_costs_the_documented_amount() -> None:
    assert PACKAGED.of(OPUS).cost(Tokens(1000, 500)) == Decimal("5.50")


def test_small_costs_are_exact() -> None:
    price = Price(Decimal("0.15"), Decimal("0.6"), Decimal("0.015"), Decimal(0))
    assert price.cost(Tokens(1234, 0)) == Decimal("0.0001851")


@given(price=prices, tokens=st.builds(Tokens, counts, counts, counts))
def test_a_cost_is_exact_to_twelve_places(price: Price, tokens: Tokens) -> None:
    def units(number: Decimal) -> int:
        return int(number.scaleb(6))

    cost = price.cost(tokens)
    whole = (
        units(price.input) * tokens.input
        + units(price.output) * tokens.output
        + units(price.cached_input) * tokens.cached_input
        + units(price.per_call) * 10**6
    )
    assert cost.as_integer_ratio()[0] * 10**12 == whole * cost.as_integer_ratio()[1]
    assert cost < 10**10, "the ledger's column holds no more"


@given(price=prices, asked=counts, most=counts, cached=st.floats(0, 1), said=st.floats(0, 1))
def test_no_end_of_a_call_is_above_the_worst_case(
    price: Price, asked: int, most: int, cached: float, said: float
) -> None:
    price = Price(price.input, price.output, min(price.cached_input, price.input), price.per_call)
    from_cache = int(asked * cached)
    ended = Tokens(asked - from_cache, int(most * said), from_cache)
    worst = price.worst_case(asked, most)
    assert price.cost(ended) <= worst
    assert worst == worst.quantize(CENT) >= CENT


@pytest.mark.parametrize(
    ("cost", "held"),
    [("0", "0.01"), ("0.000001", "0.01"), ("0.01", "0.01"), ("0.010001", "0.02")],
)
def test_the_worst_case_is_rounded_up(cost: str, held: str) -> None:
    free = Price(Decimal(0), Decimal(0), Decimal(0), Decimal(cost))
    assert free.worst_case(1, 1) == Decimal(held)


def test_cached_tokens_count_apart() -> None:
    tokens = Tokens.read({"input": 0, "output": 0, "cached_input": 1_000_000})
    assert PACKAGED.of(OPUS).cost(tokens) == Decimal("150.25")
    fresh = Tokens.read({"input": 1_000_000, "output": 0})
    assert PACKAGED.of(OPUS).cost(fresh) == Decimal("1500.25")


@pytest.mark.parametrize(
    ("tokens", "field"),
    [
        (None, "tokens"),
        ([1000, 500], "tokens"),
        ({}, "tokens.input"),
        ({"input": 1}, "tokens.output"),
        ({"input": 1, "output": -1}, "tokens.output"),
        ({"input": True, "output": 1}, "tokens.input"),
        ({"input": "1", "output": 1}, "tokens.input"),
        ({"input": Decimal("1.5"), "output": 1}, "tokens.input"),
        ({"input": MOST_TOKENS + 1, "output": 1}, "tokens.input"),
        ({"input": 1, "output": 1, "cached_input": None}, "tokens.cached_input"),
        ({"input": 1, "output": 1, "reasoning": 5}, "tokens"),
    ],
)
def test_tokens_that_cannot_be_counted_are_refused_by_name(tokens: object, field: str) -> None:
    with pytest.raises(Refused) as caught:
        Tokens.read(tokens)
    assert caught.value.detail.startswith(f"{field}: ")


def test_an_unknown_model_is_told_some_that_are_known() -> None:
    with pytest.raises(UnknownModel) as caught:
        PACKAGED.of("gpt-0")
    assert caught.value.detail.startswith("model: ")
    assert OPUS in caught.value.detail
    price = PACKAGED.models[OPUS]
    with pytest.raises(UnknownModel) as caught:
        Prices({f"model-{n}": price for n in range(1000)}).of("gpt-0")
    assert len(caught.value.detail) < 200


def test_everybody_may_see_what_a_thousand_tokens_cost() -> None:
    view = PACKAGED.view()
    assert view["unit"] == UNIT
    assert view["models"] == [
        {
            "model": name,
            "input": price.input,
            "output": price.output,
            "cached_input": price.cached_input,
            "per_call": price.per_call,
            "example": {"tokens": {"input": 1000, "output": 500}, "cost": price.cost(call)},
        }
        for call in [Tokens(1000, 500)]
        for name, price in PACKAGED.models.items()
    ]


def test_what_is_left_out(write: Path) -> None:
    write.write_text(HEAD + FIT)
    assert read_prices(write).models["a/b"] == Price(
        Decimal(300), Decimal(1500), Decimal(300), Decimal(0)
    )


def test_a_price_is_read_exactly(write: Path) -> None:
    write.write_text(HEAD + "[models.m]\ninput = 0.1\noutput = 0.300001\nper_call = 1_000.5")
    price = read_prices(write).models["m"]
    assert (str(price.input), str(price.output)) == ("0.1", "0.300001")
    assert price.per_call == Decimal("1000.5")


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("", "unit"),
        (FIT, "unit"),
        ('unit = "credits per token"\n' + FIT, "unit"),
        (HEAD, "no [models"),
        (HEAD + "models = 1", "no [models"),
        (HEAD + 'currency = "EUR"\n' + FIT, "currency"),
        (HEAD + "[models]\nm = 5", '[models."m"]'),
        (HEAD + FIT + "input_cost_per_token = 3", '[models."a/b"] input_cost_per_token'),
        (HEAD + "[models.m]\ninput = 1", '[models."m"] output: is missing'),
        (HEAD + "[models.m]\ninput = 1\noutput = -1", '[models."m"] output'),
        (HEAD + "[models.m]\ninput = 1\noutput = nan", '[models."m"] output'),
        (HEAD + "[models.m]\ninput = 1\noutput = inf", '[models."m"] output'),
        (HEAD + "[models.m]\ninput = 1\noutput = 1e400", '[models."m"] output'),
        (HEAD + '[models.m]\ninput = 1\noutput = "5"', '[models."m"] output'),
        (HEAD + "[models.m]\ninput = 1\noutput = true", '[models."m"] output'),
        (HEAD + "[models.m]\ninput = 1\noutput = 1.0000001", '[models."m"] output'),
        (HEAD + "[models.m]\ninput = 1\noutput = 5\nper_call = 1e6", '[models."m"] per_call'),
        (HEAD + f"[models.{'m' * 201}]\ninput = 1\noutput = 5", "its name"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_why(content: str, named: str, write: Path) -> None:
    told = problems(write, content)
    assert {line.startswith(f"CREDITS_PRICES_FILE: {write}: ") for line in told} == {True}
    assert named in told[0]


@pytest.mark.parametrize(
    "model",
    [
        # Per token: a whole model, its input alone, its output alone, its cached tokens alone.
        "input = 0.000003\noutput = 0.000015",
        "input = 0.0015\noutput = 0.0075",
        "input = 0.0003\noutput = 1500",
        "input = 0.03\noutput = 1500",
        "input = 300\noutput = 0.0015",
        "input = 300\noutput = 1500\ncached_input = 0.00003",
        # Per thousand: one of them.
        "input = 0.3\noutput = 1500",
        "input = 300\noutput = 1.5",
        "input = 300\noutput = 1500\ncached_input = 0.03",
        # Per million tokens, and then times a million.
        "input = 300_000_000\noutput = 1_500_000_000",
        # Each in the other's place.
        "input = 1500\noutput = 300",
        "input = 300\noutput = 1500\ncached_input = 3000",
    ],
)
def test_a_price_in_the_wrong_unit_is_caught(model: str, write: Path) -> None:
    assert problems(write, HEAD + "[models.m]\n" + model)


def test_a_model_in_another_unit_than_the_others_is_caught(write: Path) -> None:
    """Dear enough per token to look like a cheap one per million."""
    dear = "[models.dear]\ninput = 0.012\noutput = 0.048\n"
    write.write_text(HEAD + dear)
    assert read_prices(write).models.keys() == {"dear"}
    (told,) = problems(
        write.with_name("both.toml"), HEAD + dear + "[models.m]\ninput = 1500\noutput = 7500"
    )
    assert '[models."dear"] input' in told


def test_all_problems_are_told_at_once(write: Path) -> None:
    content = HEAD + "[models.m]\ninput = -1\n[models.n]\ninput = 1500\noutput = 300"
    assert len(problems(write, content)) == 3


@pytest.mark.parametrize(
    "model",
    ["input = 0\noutput = 0\nper_call = 1", "input = 2\noutput = 0", "input = 0\noutput = 0"],
)
def test_calls_without_a_price_per_token_are_fine(model: str, write: Path) -> None:
    write.write_text(HEAD + "[models.m]\n" + model)
    assert read_prices(write).models.keys() == {"m"}


def test_a_broken_price_list_stops_nobody_who_has_no_use_for_it(
    write: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write.write_bytes(b"\xff\xfe")
    monkeypatch.chdir(write.parent)
    monkeypatch.setenv("CREDITS_PRICES_FILE", str(write))
    path = load().credits_prices_file
    with pytest.raises(BrokenSetting, match="CREDITS_PRICES_FILE: "):
        read_prices(path)
    with pytest.raises(BrokenSetting, match="CREDITS_PRICES_FILE: "):
        read_prices(write.with_name("missing.toml"))
