"""The checkout page's words: complete in both languages, numbers as people write them."""

from decimal import Decimal

import pytest

from zapisano.web.checkout_texts import ENGLISH, REASONS, RUSSIAN, days_text, reason_text, roubles


def test_both_languages_say_the_same_things() -> None:
    assert RUSSIAN.keys() == ENGLISH.keys()
    assert REASONS["ru"].keys() == REASONS["en"].keys()


@pytest.mark.parametrize(
    ("amount", "russian", "english"),
    [
        ("299.00", "299 ₽", "299 ₽"),
        ("1490.00", "1 490 ₽", "1 490 ₽"),
        ("1490.50", "1 490,50 ₽", "1 490.50 ₽"),
    ],
)
def test_sums(amount: str, russian: str, english: str) -> None:
    assert roubles(Decimal(amount), "ru").replace("\N{NO-BREAK SPACE}", " ") == russian
    assert roubles(Decimal(amount), "en").replace("\N{NO-BREAK SPACE}", " ") == english


@pytest.mark.parametrize(
    ("days", "word"),
    [
        (1, "день"),
        (3, "дня"),
        (11, "дней"),
        (30, "дней"),
        (31, "день"),
        (112, "дней"),
        (365, "дней"),
    ],
)
def test_days(days: int, word: str) -> None:
    assert days_text(days, "ru") == f"{days}\N{NO-BREAK SPACE}{word}"


def test_an_unknown_reason_has_words_too() -> None:
    assert reason_text("ru", "a_reason_of_next_year") == "Банк отклонил платёж."
    assert reason_text("en", None) == "Your bank declined the payment."
