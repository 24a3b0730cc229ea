"""The checkout page: what is bought, for whom, for how much; then YooKassa's page, and back.

An order's id is a random UUID and the only key to its page, so the page is neither indexed, cached
nor sent on as a referrer. It has no script. Coming back proves nothing: it only asks for a settle.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined

from zapisano import subscriptions, tenancy
from zapisano.credits.model import AccountFrozen
from zapisano.db import Database, SharedConnection
from zapisano.errors import AppError, Busy, Refused
from zapisano.payments import (
    AnyOrder,
    BadContact,
    BusinessClosed,
    ChoiceFrozen,
    CreditsOrder,
    Order,
    OrderClosed,
    PlanOrder,
    ProviderRefused,
    ProviderUnavailable,
    Status,
    TopupsOff,
    UnknownOrder,
    account_of,
    ask_after,
    auto_methods,
    choose,
    methods,
    refuse_closed,
    retry_order,
    start_payment,
    was_paid_when_closed,
)
from zapisano.payments import store as money
from zapisano.payments.model import ProviderName, read_order_id
from zapisano.payments.promo_model import PromoLapsed
from zapisano.settings import Plan, Settings
from zapisano.tenancy import Tenant
from zapisano.tenancy import store as tenants
from zapisano.web.checkout_form import form_words, read_form
from zapisano.web.checkout_texts import TEXTS, days_text, number_text, reason_text, roubles
from zapisano.web.errors import note
from zapisano.web.state import state_of

router = APIRouter(prefix="/checkout", include_in_schema=False)
pages = Environment(
    loader=PackageLoader("zapisano.web"), autoescape=True, undefined=StrictUndefined
)

REFRESH_SECONDS = 3
REFRESHES = 20
USERNAME = re.compile(r"@[A-Za-z][A-Za-z0-9_]{3,31}")
# What went wrong between the buyer and us, in the page's words. The first that fits counts.
TROUBLES: tuple[tuple[type[AppError], str], ...] = (
    (BadContact, "bad_contact"),
    (ChoiceFrozen, "choice_frozen"),
    (ProviderUnavailable, "unavailable"),
    (ProviderRefused, "refused"),
    (PromoLapsed, "promo_lapsed"),
    (Refused, "not_sold"),
    (Busy, "busy"),
)
# What an order is for takes nothing any more.
CLOSED = (BusinessClosed, AccountFrozen, TopupsOff)


@dataclass(frozen=True)
class About:
    """What the page of one order shows besides the order itself."""

    template: str
    words: Mapping[str, Any]
    is_closed: bool
    in_review: bool = False


def static_files() -> StaticFiles:
    """Return the pages' own style and pictures."""
    return StaticFiles(packages=[("zapisano.web", "static")])


@router.get("/{order_id}")
async def show(request: Request, order_id: str) -> Response:
    """Show the order; a canceled one whose place was taken leads on to its successor."""
    return await _page(request, order_id, coming_back=False)


@router.get("/{order_id}/return")
async def come_back(request: Request, order_id: str) -> Response:
    """Show what became of the payment, and have it looked up now."""
    return await _page(request, order_id, coming_back=True)


@router.post("/{order_id}/pay")
async def pay(request: Request, order_id: str) -> Response:
    """Lead on to YooKassa's page."""
    state = state_of(request)
    order: AnyOrder | None = None
    about: About | None = None
    form = await read_form(request)
    try:
        async with state.database.shared() as conn:
            order = await _load(conn, order_id)
            about = await _about(conn, state.settings, order, state.now())
            await refuse_closed(conn, state.settings, order, state.now())
            chosen = form.checked(state.settings, order)
            wanted = order
            if order.status is Status.CANCELED:
                wanted = await retry_order(conn, state.settings, order.id, state.now())
            wanted = await choose(conn, state.settings, wanted.id, **chosen)
        order = wanted
        page = await start_payment(state.database, state.provider, order.id, state.now())
    except UnknownOrder:
        return _missing(request)
    except OrderClosed:
        return _redirect(request, f"/checkout/{order.id if order else order_id}/return")
    except CLOSED as error:
        if order and order.is_open and order.requested_at is not None:  # money may be on its way
            return _redirect(request, f"/checkout/{order.id}/return")
        return _trouble(request, order, about, error)
    except (ProviderUnavailable, ProviderRefused, ChoiceFrozen, Refused, Busy) as error:
        order = await _as_kept(state.database, order)
        return _trouble(request, order, about, error, contact=form.contact)
    return RedirectResponse(page, 303, headers=_headers(state.settings))


async def _as_kept(database: Database, order: AnyOrder | None) -> AnyOrder | None:
    """Return the order as the database has it now, which is what its page has to show."""
    try:
        async with database.shared() as conn:
            return await money.get(conn, order.id) if order else None
    except Busy:
        return order


async def _page(request: Request, order_id: str, *, coming_back: bool) -> Response:
    state = state_of(request)
    try:
        async with state.database.shared() as conn:
            order = await _load(conn, order_id)
            if order.id != order_id:
                return _redirect(request, f"/checkout/{order.id}")
            via = "return" if coming_back else "page"
            await ask_after(conn, order, via=via, now=state.now())
            about = await _about(conn, state.settings, order, state.now())
    except UnknownOrder:
        return _missing(request)
    except Busy as error:
        return _trouble(request, None, None, error)
    step = "review" if about.in_review else _step(order, about.is_closed, coming_back=coming_back)
    refresh = _next_refresh(request) if step == "waiting" else None
    context = _order_context(request, order, about) | {"step": step, "refresh": refresh}
    return _html(request, about.template, context)


async def _load(conn: SharedConnection, order_id: str) -> AnyOrder:
    """Return the order, or the one that took its place, and the one that took that one's."""
    known = read_order_id(order_id)
    if known is None:
        raise UnknownOrder
    order = await money.newest(conn, known)
    if order.provider is ProviderName.STARS:  # paid in the chat: there is no page of it
        raise UnknownOrder
    return order


async def _about(
    conn: SharedConnection, settings: Settings, order: AnyOrder, now: datetime
) -> About:
    match order:
        case PlanOrder():
            return await _about_plan(conn, settings, order, now)
        case CreditsOrder():
            return await _about_credits(conn, settings, order, now)


async def _about_plan(
    conn: SharedConnection, settings: Settings, order: PlanOrder, now: datetime
) -> About:
    tenant = await tenants.get(conn, order.tenant_id) if order.tenant_id else None
    bot = await tenants.sales_bot_username(conn)
    plan = settings.plans.get(order.plan)
    method = await methods.find(conn, tenant.id) if tenant else None
    words = {
        "is_auto": method is not None and method.order_id == order.id,
        "plan_name": plan.name if plan else "",
        "full_price": plan.price if plan and _is_cheaper(order, plan) else None,
        "is_paused": tenant is not None and tenant.is_paused_by_operator,
        "paid_until": await _paid_until(conn, settings, tenant, now),
        "back_url": f"{settings.telegram_link_base}/{bot}" if bot else "",
    }
    return About(
        "plan_order.html",
        words,
        is_closed=tenant is not None and tenant.state is tenancy.State.ARCHIVED,
        in_review=tenant is not None and await was_paid_when_closed(conn, order, tenant),
    )


def _is_cheaper(order: PlanOrder, plan: Plan) -> bool:
    """Say whether a code makes an order that is still to be paid cheaper than its plan is today."""
    unpaid = order.is_open or order.status is Status.CANCELED
    return order.promo_code is not None and unpaid and plan.price > order.amount


async def _about_credits(
    conn: SharedConnection, settings: Settings, order: CreditsOrder, now: datetime
) -> About:
    try:
        balance = (await account_of(conn, settings, order.email, now)).balance
    except (AccountFrozen, TopupsOff):
        balance = None
    method = await auto_methods.newest(conn, order.email) if order.saves_method else None
    is_auto = method is not None and method.ended_for is None and method.order_id == order.id
    words = {"balance": balance, "back_url": _app_url(settings, order), "is_auto": is_auto}
    return About("credits_order.html", words, is_closed=balance is None)


def _app_url(settings: Settings, order: CreditsOrder) -> str:
    """Return where the web app wants its user back, with the order's id for it to ask after."""
    if not (url := settings.credits_return_url):
        return ""
    parts = urlsplit(url)
    query = [*parse_qsl(parts.query, keep_blank_values=True), ("topup", order.id)]
    return urlunsplit(parts._replace(query=urlencode(query)))


async def _paid_until(
    conn: SharedConnection, settings: Settings, tenant: Tenant | None, now: datetime
) -> str:
    """Return until which day a bot is paid; '' where it is not, or is still to be made."""
    if tenant is None or tenant.state not in {tenancy.State.ACTIVE, tenancy.State.SUSPENDED}:
        return ""
    paid = await subscriptions.find(conn, tenant.id)
    if paid is None or paid.paid_until <= now:
        return ""
    return f"{paid.paid_until.astimezone(ZoneInfo(settings.time_zone)):%d.%m.%Y}"


def _step(order: Order, is_closed: bool, *, coming_back: bool) -> str:
    """Name the part of the page that fits the order. Nothing is sold to a closed business."""
    if order.is_open and order.requested_at is not None and (coming_back or is_closed):
        return "waiting"
    if order.is_open and order.method_id:  # it is charged without anybody's press
        return "waiting"
    if is_closed and (order.is_open or order.status is Status.CANCELED):
        return "closed"
    return "pay" if order.is_open else order.status.value


def _next_refresh(request: Request) -> str | None:
    """Return the address to refresh to, counting; None when it has gone on for long enough."""
    counted = request.query_params.get("n", "0")
    done = int(counted) if re.fullmatch("[0-9]{1,3}", counted) else 0
    if done >= REFRESHES:
        return None
    return str(request.url.include_query_params(n=done + 1).query)


def _order_context(request: Request, order: AnyOrder, about: About) -> dict[str, Any]:
    language = _language(request, order)
    return {
        "language": language,
        "order": order,
        "sum": roubles(order.amount, language),
        "refunded": roubles(order.refunded, language) if order.refunded else "",
        "all_went_back": order.refunded == order.amount,
        "reason": reason_text(language, order.cancel_reason),
        "trouble": None,
        "refresh": None,
        "is_closed": about.is_closed,
        "days_text": days_text,
        "number_text": number_text,
        "roubles": roubles,
        **form_words(state_of(request).settings, order, language),
        **about.words,
    }


def _language(request: Request, order: Order | None) -> str:
    asked = request.query_params.get("lang", "")
    if asked in TEXTS:
        return asked
    return order.buyer_language if order and order.buyer_language in TEXTS else "ru"


def _missing(request: Request) -> Response:
    language = _language(request, None)
    context = {"language": language, "heading": "missing_heading", "text": "missing"}
    return _html(request, "notice.html", context, 404)


def _trouble(
    request: Request,
    order: AnyOrder | None,
    about: About | None,
    error: AppError,
    *,
    contact: str = "",
) -> Response:
    """Say kindly what went wrong, with the button to try again."""
    note(error)
    text = next((text for kind, text in TROUBLES if isinstance(error, kind)), None)
    if isinstance(error, ChoiceFrozen) and isinstance(order, CreditsOrder):
        text = "choice_frozen_topup"
    if order is None or about is None:
        context = {"language": _language(request, None), "heading": "trouble_heading", "text": text}
        return _html(request, "notice.html", context, error.status)
    context = _order_context(request, order, about)
    context["step"] = "closed" if isinstance(error, CLOSED) else "pay"
    context["contact"] = contact or context["contact"]
    return _html(request, about.template, {**context, "trouble": text}, error.status)


def _redirect(request: Request, path: str) -> Response:
    query = f"?lang={lang}" if (lang := request.query_params.get("lang", "")) in TEXTS else ""
    headers = _headers(state_of(request).settings)
    return RedirectResponse(path + query, 303, headers=headers)


def _html(
    request: Request, template: str, context: Mapping[str, object], status: int = 200
) -> Response:
    settings = state_of(request).settings
    language = str(context["language"])
    text = pages.get_template(template).render(
        t=TEXTS[language],
        other_language="en" if language == "ru" else "ru",
        operator=settings.operator_name,
        terms=settings.operator_terms,
        requisites=settings.operator_requisites,
        refunds=settings.operator_refunds,
        support=settings.support_contact,
        support_url=support_url(settings),
        is_test=settings.expects_test_payments,
        **context,
    )
    return HTMLResponse(text, status, headers=_headers(settings) | {"Content-Language": language})


def support_url(settings: Settings) -> str:
    """Return where the support contact leads: a page, a chat or a mailbox; '' for plain text."""
    contact = settings.support_contact
    if contact.startswith(("https://", "http://")):
        return contact
    if USERNAME.fullmatch(contact):
        return f"{settings.telegram_link_base}/{contact[1:]}"
    return f"mailto:{contact}" if re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", contact) else ""


def _headers(settings: Settings) -> dict[str, str]:
    """Return what keeps the page to the one who has its address.

    `form-action` also covers where the form's answer redirects: YooKassa's pages are https, and
    the API's own origin stands for a shop on one machine.
    """
    api = urlsplit(settings.yookassa_api_url)
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
        f"form-action 'self' https: {api.scheme}://{api.netloc}; "
        f"frame-ancestors {settings.checkout_frame_ancestors}"
    )
    return {
        "Content-Security-Policy": policy,
        "Cache-Control": "no-store",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Robots-Tag": "noindex, nofollow",
    }
