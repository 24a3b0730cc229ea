"""The reason for days of support's stays for ever: what speaks of a person is refused."""

import pytest

from zapisano.ops.support import is_personal


@pytest.mark.parametrize(
    "why",
    [
        "звонила, +7 916 123-45-67",
        "8(916)123.45.67",
        "call 1234567",
        "tel 916–123–45–67",
        "anna@mail.example",
        "wrote from @anna_nails",
        "٠١٢٣٤٥٦",
    ],
)
def test_a_number_or_an_address_of_a_person_is_seen(why: str) -> None:
    assert is_personal(why)


@pytest.mark.parametrize(
    "why",
    [
        "an outage",
        "сбой 24.11.2026 12:30–14:30",
        "сбой 24.11 и 25.11",
        "outage of 2026-11-24, 12:30",
        "ticket 123456",
        "2 дня",
    ],
)
def test_what_happened_may_be_said(why: str) -> None:
    assert not is_personal(why)
