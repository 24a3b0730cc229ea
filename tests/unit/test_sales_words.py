"""How the sales bot words a name, in both languages."""

from collections.abc import Callable

import pytest

from zapisano.bots.i18n import SALES, speaking
from zapisano.bots.sales.showcase import paysupport_text, privacy_text
from zapisano.bots.sales.words import inside_quotes, plan_line
from zapisano.settings import Settings, load


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


@pytest.mark.parametrize(("plan", "monthly"), [("3m", "267"), ("6m", "249"), ("12m", "225")])
def test_a_month_is_never_said_to_cost_less_than_it_does(plan: str, monthly: str) -> None:
    with speaking(SALES, "ru"):
        assert f"({monthly} ₽ в месяц)" in plan_line(load().plans[plan]).replace(
            "\N{NO-BREAK SPACE}", " "
        )


@pytest.mark.parametrize("text", [privacy_text, paysupport_text])
def test_nobody_is_told_to_write_where_there_is_nowhere_to(
    text: Callable[[Settings], str],
) -> None:
    settings = load()
    with speaking(SALES, "ru"):
        alone = text(settings.model_copy(update={"support_contact": "", "operator_terms": ""}))
        helped = text(
            settings.model_copy(update={"support_contact": "@help_desk", "operator_terms": ""})
        )
    assert "апишите нам" not in alone
    assert "апишите нам" in helped
    assert helped.endswith("Поддержка: @help_desk")
