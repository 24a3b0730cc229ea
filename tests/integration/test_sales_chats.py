"""What a newcomer met in the sales bot: links that lead out, codes that cannot be taken back."""

import pytest
from house import Buyer, House

from zapisano.settings import Settings

LINKS = "http://telegram.example/t"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"telegram_link_base": LINKS})


async def test_every_link_to_a_bot_leads_where_the_operator_has_said(
    house: House, buyer: Buyer
) -> None:
    """In the demo that is the simulated Telegram: the real one knows none of these bots."""
    await house.pay(await buyer.orders("Ромашка"))
    name = (await buyer.creates())["username"]
    await house.bot_of(buyer.phone.person)
    _, button = await buyer.sees("Открыть @")
    assert button["url"] == f"{LINKS}/{name}"
    await buyer.says("/my")
    _, button = await buyer.sees("Открыть", under="Мои боты")
    assert button["url"] == f"{LINKS}/{name}?start=admin"
    await buyer.says("/admin")
    _, button = await buyer.sees("Управлять: Ромашка")
    assert button["url"] == f"{LINKS}/{name}?start=admin"
    said = [message["text"] for message in await buyer.phone.answers(buyer.sales)]
    assert not any("t.me" in text for text in said)
