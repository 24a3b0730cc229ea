"""How the sales bot words a name, in both languages."""

import pytest

from zapisano.bots.i18n import SALES, speaking
from zapisano.bots.sales.words import inside_quotes


@pytest.mark.parametrize(
    ("language", "name", "shown"),
    [
        ("ru", "Студия «Лён»", "Студия „Лён“"),
        ("ru", "Лён & Co <i>", "Лён &amp; Co &lt;i&gt;"),
        ("en", "The “Flax” studio", "The ‘Flax’ studio"),
    ],
)
def test_a_names_own_quotation_marks_become_the_inner_kind(
    language: str, name: str, shown: str
) -> None:
    with speaking(SALES, language):
        assert inside_quotes(name) == shown
