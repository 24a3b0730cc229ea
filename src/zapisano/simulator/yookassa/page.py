"""The hosted checkout page: what the payer sees between the shop and its return address."""

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Form, Response
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from zapisano.simulator.yookassa.cards import OUTCOMES, read_card
from zapisano.simulator.yookassa.courier import Courier
from zapisano.simulator.yookassa.model import ZERO, Method, Payment
from zapisano.simulator.yookassa.texts import Language, speak, spell
from zapisano.simulator.yookassa.usecases import Kassa

HERE = Path(__file__).parent
STATIC = {"pay.css": "text/css", "pay.js": "text/javascript"}
SEE_OTHER = 303


@dataclass(frozen=True)
class Sheet:
    """What the page is about: a payment to make, or a card to bind."""

    id: str
    binding: bool
    state: str
    amount: Decimal
    description: str | None
    reason: str | None
    return_url: str | None
    locale: str
    saves: bool = False
    holds: bool = False

    @property
    def open(self) -> bool:
        """Is there still something to fill in?"""
        return self.state == "pending"

    @property
    def done(self) -> bool:
        """Did it go well?"""
        return self.state in ("succeeded", "waiting_for_capture", "bound")


@dataclass(frozen=True)
class Typed:
    """What the payer typed; shown again when something is wrong with it."""

    number: str = ""
    expiry: str = ""
    cvc: str = ""


def _payment_sheet(payment: Payment) -> Sheet:
    confirmation = payment.confirmation
    return Sheet(
        id=payment.id,
        binding=False,
        state=payment.status,
        amount=payment.amount,
        description=payment.description,
        reason=payment.cancellation.reason if payment.cancellation else None,
        return_url=confirmation.return_url if confirmation else None,
        locale=confirmation.locale if confirmation else "ru_RU",
        saves=payment.save_method,
        holds=not payment.capture,
    )


def _binding_sheet(method: Method) -> Sheet:
    states = {"pending": "pending", "active": "bound", "inactive": "unbound"}
    outcome = OUTCOMES.get(method.card.number) if method.card else None
    return Sheet(
        id=method.id,
        binding=True,
        state=states[method.status],
        amount=ZERO,
        description=None,
        reason=outcome.reason if outcome else None,
        return_url=method.confirmation.return_url if method.confirmation else None,
        locale=method.confirmation.locale if method.confirmation else "ru_RU",
    )


class Pages:
    """Finds what a page is about and draws it."""

    def __init__(self, kassa: Kassa) -> None:
        self._kassa = kassa
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
        )

    def sheet(self, object_id: str) -> Sheet | None:
        """A payment, else a binding, else nothing."""
        self._kassa.sweep()
        payment = self._kassa.store.find_payment(object_id)
        if payment is not None:
            return _payment_sheet(payment)
        method = self._kassa.store.find_method(object_id)
        return _binding_sheet(method) if method else None

    def draw(
        self,
        sheet: Sheet | None,
        lang: Language | None,
        typed: Typed | None = None,
        faults: dict[str, str] | None = None,
    ) -> HTMLResponse:
        """The page in the asked language, else in the payment's."""
        english = sheet is not None and sheet.locale == "en_US"
        language: Language = lang or ("en" if english else "ru")
        values: dict[str, Any] = {
            "sheet": sheet,
            "amount": spell(sheet.amount, language) if sheet else "",
            "shop": self._kassa.shop,
            "language": language,
            "typed": typed or Typed(),
            "faults": faults or {},
            "outcomes": list(OUTCOMES.values()),
            "t": partial(speak, language),
        }
        html = self._templates.get_template("pay.html").render(values)
        status = 404 if sheet is None else 422 if faults else 200
        return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})


def routes(kassa: Kassa, courier: Courier) -> APIRouter:
    """The page, its form and its two files."""
    router = APIRouter(prefix="/yookassa")
    pages = Pages(kassa)

    @router.get("/pay/{object_id}")
    async def show(object_id: str, lang: Language | None = None, card: str = "") -> Response:
        chosen = Typed(card, "12/30", "123") if card in OUTCOMES else None
        return pages.draw(pages.sheet(object_id), lang, chosen)

    @router.post("/pay/{object_id}")
    async def pay(
        object_id: str,
        method: str = Form("bank_card"),
        number: str = Form(""),
        expiry: str = Form(""),
        cvc: str = Form(""),
        lang: Language | None = None,
    ) -> Response:
        sheet = pages.sheet(object_id)
        if sheet is None or not sheet.open:
            return pages.draw(sheet, lang)
        faults = _settle(kassa, sheet, method, Typed(number, expiry, cvc))
        courier.call()
        if faults:
            return pages.draw(sheet, lang, Typed(number, expiry, cvc), faults)
        tail = f"?lang={lang}" if lang else ""
        return RedirectResponse(f"/yookassa/pay/{sheet.id}{tail}", SEE_OTHER)

    @router.get("/static/{name}")
    async def static(name: str) -> Response:
        if name not in STATIC:
            return Response(status_code=404)
        return FileResponse(HERE / "static" / name, media_type=STATIC[name])

    return router


def _settle(kassa: Kassa, sheet: Sheet, method: str, typed: Typed) -> dict[str, str]:
    """Do what the form asks; the faulty fields when it cannot be done."""
    if method == "sbp" and not sheet.binding:
        kassa.pay(sheet.id, None, "sbp")
        return {}
    card, faults = read_card(typed.number, typed.expiry, typed.cvc, kassa.now())
    if card is None:
        return faults
    if sheet.binding:
        kassa.bind(sheet.id, card)
    else:
        kassa.pay(sheet.id, card)
    return {}
