"""What a business may be called: one rule, however the name comes in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zapisano.errors import Refused
from zapisano.tenancy import checked_name, cleaned_name


@given(st.text())
def test_a_cleaned_name_is_clean(name: str) -> None:
    cleaned = cleaned_name(name)
    if cleaned is not None:
        assert 1 <= len(cleaned) <= 100
        assert "\0" not in cleaned
        assert cleaned_name(cleaned) == cleaned
        cleaned.encode()


@pytest.mark.parametrize(
    "name", ["", "   ", "\u2060", "\u200d\u200d", "a" * 101, "a\x00b", "\ue000"]
)
def test_a_name_that_shows_nothing_is_no_name(name: str) -> None:
    assert cleaned_name(name) is None


@pytest.mark.parametrize("name", ["Студия «Лён»", "👩‍🦰 Hair", "7", "№1"])
def test_a_name_with_something_to_see_is_kept(name: str) -> None:
    assert cleaned_name(f"  {name} ") == name


def test_a_refusal_names_the_field() -> None:
    assert checked_name(" Салон   Ромашка ") == "Салон Ромашка"
    with pytest.raises(Refused, match=r"^company_name: must have 1 to 100 visible characters$"):
        checked_name("\u200d", field="company_name")
