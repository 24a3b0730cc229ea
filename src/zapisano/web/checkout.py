"""The checkout page: what is bought, for whom, for how much; then YooKassa's page, and back.

An order's id is a random UUID and the only key to its page, so the page is neither indexed, cached
nor sent on as a referrer. It has no script. Coming back proves nothing: it only asks for a settle.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined

from zapisano import jobs, subscriptions, tenancy
from zapisano.db import SharedConnection
from zapisano.errors import AppError, Busy, Refused
from zapisano.payments import (
    BusinessClosed,
    Order,
    OrderClosed,
    ProviderRefused,
    ProviderUnavailable,
    Settle,
    Status,
    UnknownOrder,
    refuse_closed,
    retry_order,
    start_payment,
    was_paid_when_closed,
)
from zapisano.payments import store as money
from zapisano.payments.model import read_order_id
from zapisano.settings import Settings
from zapisano.tenancy import Tenant
from zapisano.tenancy import store as tenants
from zapisano.web.checkout_texts import TEXTS, days_text, reason_text, roubles
from zapisano.web.errors import note
from zapisano.web.state import State, state_of

router = APIRouter(prefix="/checkout", include_in_schema=False)
pages = Environment(
    loader=PackageLoader("zapisano.web"), autoescape=True, undefined=StrictUndefined
)

REFRESH_SECONDS = 3
REFRESHES = 20
USERNAME = re.compile(r"@[A-Za-z][A-Za-z0-9_]{3,31}")
# What went wrong between the buyer and us, in the page's words. The first that fits counts.
TROUBLES: tuple[tuple[type[AppError], str], ...] = (
    (ProviderUnavailable, "unavailable"),
    (ProviderRefused, "refused"),
    (BusinessClosed, "closed"),
    (Refused, "not_sold"),
    (Busy, "busy"),
)


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
    order: Order | None = None
    tenant: Tenant | None = None
    try:
        async with state.database.shared() as conn:
            order = await _load(conn, order_id)
            tenant = await _tenant_of(conn, order)
            await refuse_closed(conn, order)
            if order.status is Status.CANCELED:
                order = await retry_order(conn, state.settings, order.id, state.now())
        page = await start_payment(state.database, state.provider, order.id, state.now())
    except UnknownOrder:
        return _missing(request)
    except OrderClosed:
        return _redirect(request, f"/checkout/{order.id if order else order_id}/return")
    except BusinessClosed as error:
        if order and order.is_open and order.requested_at is not None:  # money may be on its way
            return _redirect(request, f"/checkout/{order.id}/return")
        return _trouble(request, order, tenant, error)
    except (ProviderUnavailable, ProviderRefused, Refused, Busy) as error:
        return _trouble(request, order, tenant, error)
    return RedirectResponse(page, 303, headers=_headers(state.settings))


async def _page(request: Request, order_id: str, *, coming_back: bool) -> Response:
    state = state_of(request)
    try:
        async with state.database.shared() as conn:
            order = await _load(conn, order_id)
            if order.id != order_id:
                return _redirect(request, f"/checkout/{order.id}")
            if order.is_open and order.payment_id:
                await _ask_after(conn, state, order.payment_id, coming_back=coming_back)
            tenant = await _tenant_of(conn, order)
            paid_until = await _paid_until(conn, state.settings, tenant, state.now())
            in_review = tenant is not None and await was_paid_when_closed(conn, order, tenant)
            bot = await tenants.sales_bot_username(conn)
    except UnknownOrder:
        return _missing(request)
    except Busy as error:
        return _trouble(request, None, None, error)
    context = _order_context(request, state.settings, order, tenant)
    context["step"] = (
        "review" if in_review else _step(order, context["is_closed"], coming_back=coming_back)
    )
    context["paid_until"] = paid_until
    context["chat_url"] = f"{state.settings.telegram_link_base}/{bot}" if bot else ""
    context["refresh"] = _next_refresh(request) if context["step"] == "waiting" else None
    return _html(request, "order.html", context)


async def _load(conn: SharedConnection, order_id: str) -> Order:
    """Return the order, or the one that took its place, and the one that took that one's."""
    known = read_order_id(order_id)
    if known is None:
        raise UnknownOrder
    while (order := await money.get(conn, known)).status is Status.CANCELED:
        successor = await money.find_retry(conn, known)
        if successor is None:
            break
        known = successor
    return order


async def _tenant_of(conn: SharedConnection, order: Order) -> Tenant | None:
    return await tenants.get(conn, order.tenant_id) if order.tenant_id else None


async def _ask_after(
    conn: SharedConnection, state: State, payment_id: str, *, coming_back: bool
) -> None:
    """Have the payment looked up at the next tick.

    Scheduled, not enqueued: however often the page is loaded, it is one look per tick.
    """
    job = Settle(payment_id, via="return" if coming_back else "page")
    await jobs.schedule(conn, job, at=state.now(), subject=payment_id)


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


def _order_context(
    request: Request, settings: Settings, order: Order, tenant: Tenant | None
) -> dict[str, Any]:
    language = _language(request, order)
    plan = settings.plans.get(order.plan)
    return {
        "language": language,
        "order": order,
        "plan_name": plan.name if plan else order.plan,
        "days": days_text(order.days, language),
        "sum": roubles(order.amount, language),
        "reason": reason_text(language, order.cancel_reason),
        "trouble": None,
        "is_closed": tenant is not None and tenant.state is tenancy.State.ARCHIVED,
        "is_paused": tenant is not None and tenant.is_paused_by_operator,
        "paid_until": "",
        "refresh": None,
        "chat_url": "",
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
    request: Request, order: Order | None, tenant: Tenant | None, error: AppError
) -> Response:
    """Say kindly what went wrong, with the button to try again."""
    note(error)
    text = next(text for kind, text in TROUBLES if isinstance(error, kind))
    if order is None:
        context = {"language": _language(request, None), "heading": "trouble_heading", "text": text}
        return _html(request, "notice.html", context, error.status)
    context = _order_context(request, state_of(request).settings, order, tenant)
    context["step"] = "closed" if isinstance(error, BusinessClosed) else "pay"
    return _html(request, "order.html", {**context, "trouble": text}, error.status)


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
