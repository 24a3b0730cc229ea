"""The master API: the operator's tenants over HTTP. Pydantic at this edge only."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError
from structlog.contextvars import bind_contextvars

from zapisano import tenancy
from zapisano.db import Database
from zapisano.errors import Busy
from zapisano.tenancy import Overview, State, Suspension, TenantId, store
from zapisano.web.auth import NoToken, operator_only
from zapisano.web.errors import MEDIA_TYPE, title_of

TenantPath = Annotated[
    str, Path(pattern=r"^client_[0-9]{3,9}$", examples=["client_001"], description="Tenant's id")
]

LONGEST_ID = len("client_123456789")
STATES = (
    "provisioning (its schema is being made), awaiting_bot (its owner has still to create the "
    "bot), active (its bot works), suspended (paused, its data stays), archived (put away into a "
    "file)"
)


def _name(given: str) -> str:
    """Apply the tenants' own rule, in words that follow the field's name."""
    if (cleaned := tenancy.cleaned_name(given)) is None:
        raise PydanticCustomError(
            "name", "must have 1 to {most} visible characters", {"most": tenancy.MAX_NAME}
        )
    return cleaned


class NewTenant(BaseModel):
    """What is needed to make a tenant."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, AfterValidator(_name)] = Field(
        description="The business's name, as its customers read it",
        json_schema_extra={"minLength": 1, "maxLength": tenancy.MAX_NAME},
    )
    owner_id: int = Field(gt=0, lt=tenancy.TELEGRAM_IDS_END, description="Telegram id of the owner")
    language: Literal["ru", "en"] = Field("ru", description="The language we speak to the owner")


class TenantView(BaseModel):
    """A tenant as the operator sees it."""

    id: str = Field(description="Also its schema and its Redis prefix")
    name: str
    owner_id: int
    language: str
    state: State = Field(description=STATES)
    suspended_for: Suspension | None = Field(description="Why, while it is suspended")
    bot_username: str | None = Field(description="None until the owner has connected a bot")
    paid_until: datetime | None = Field(description="None when nothing was ever paid")
    schema_version: str | None = Field(description="None while there is no schema")
    created_at: datetime
    changed_at: datetime

    @classmethod
    def of(cls, overview: Overview) -> "TenantView":
        """Show a tenant."""
        tenant = overview.tenant
        return cls(
            id=tenant.id,
            name=tenant.name,
            owner_id=tenant.owner_id,
            language=tenant.owner_language,
            state=tenant.state,
            suspended_for=tenant.suspended_for,
            bot_username=overview.bot_username,
            paid_until=overview.paid_until,
            schema_version=overview.schema_version,
            created_at=tenant.created_at,
            changed_at=tenant.changed_at,
        )


class TenantPage(BaseModel):
    """Some tenants, in the order in which they were made."""

    tenants: list[TenantView]
    next: str | None = Field(description="Ask with `after` set to this; None on the last page")


SHOWN = {
    "id": "client_001",
    "name": "Салон Ромашка",
    "owner_id": 100200301,
    "language": "ru",
    "state": "active",
    "suspended_for": None,
    "bot_username": "romashka_bot",
    "paid_until": "2026-12-22T12:00:00Z",
    "schema_version": "t0001",
    "created_at": "2026-11-22T12:00:00Z",
    "changed_at": "2026-11-22T12:01:00Z",
}


NEWLY_MADE = {
    **SHOWN,
    "state": "provisioning",
    "bot_username": None,
    "paid_until": None,
    "schema_version": None,
}


def _problem(status: int, code: str, when: str, detail: str) -> dict[int | str, dict[str, Any]]:
    example = {
        "type": f"urn:zapisano:problem:{code}",
        "title": title_of(code),
        "status": status,
        "detail": detail,
        "code": code,
    }
    return {status: {"description": when, "content": {MEDIA_TYPE: {"example": example}}}}


def _shown(status: int, example: object, what: str) -> dict[int | str, dict[str, Any]]:
    return {status: {"description": what, "content": {"application/json": {"example": example}}}}


def _wrong_state(detail: str) -> dict[int | str, dict[str, Any]]:
    return _problem(409, "wrong_state", "The tenant's state does not allow it", detail)


EVERYWHERE = {
    **_problem(401, "unauthorized", "The bearer token is missing or wrong", NoToken.text),
    **_problem(503, "busy", "Worth repeating, or MASTER_API_TOKEN is not set", Busy.text),
}
UNKNOWN = _problem(
    404, "unknown_tenant", "There is no such tenant", "There is no tenant client_999."
)
WRONG = _problem(422, "wrong_input", "A field is missing or wrong", "name: Field required")
REUSED = _problem(
    409,
    "conflict",
    "The key was used with another body",
    "This Idempotency-Key was used with another body; draw a new one.",
)
FULL = _problem(
    507,
    "disk_trouble",
    "The data folder is full; nothing was dropped",
    "The archive of client_001 could not be written (No space left on device); nothing was "
    "dropped. Free some space in ZAPISANO_DATA_DIR (/srv/zapisano) and try again.",
)
ONE = {**EVERYWHERE, **UNKNOWN, **WRONG}


async def name_tenant(request: Request) -> None:
    """Let every log line of this request name the tenant that it is about."""
    if tenant_id := request.path_params.get("tenant_id"):
        bind_contextvars(tenant=str(tenant_id)[:LONGEST_ID])


router = APIRouter(
    prefix="/api/tenants",
    tags=["Tenants"],
    dependencies=[Depends(operator_only), Depends(name_tenant)],
    responses=EVERYWHERE,
)


@router.post(
    "",
    status_code=201,
    summary="Create a tenant",
    responses={
        **_shown(201, NEWLY_MADE, "Registered; its schema is being made"),
        **REUSED,
        **WRONG,
    },
)
async def create(
    request: Request,
    response: Response,
    new: Annotated[
        NewTenant,
        Body(examples=[{"name": "Салон Ромашка", "owner_id": 100200301, "language": "ru"}]),
    ],
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=255,
            examples=["6f1c0c1e-order-17"],
            description="Any text of yours that names this request, such as a UUID: sent again "
            "with the same body it answers with the same tenant and makes no other",
        ),
    ] = None,
) -> TenantView:
    """Register a business and ask for its schema and role, which are there within a second.

    With an `Idempotency-Key` the same request may be sent again: it makes one tenant.
    """
    async with _database(request).shared() as conn:
        made = (
            await tenancy.register_once(
                conn,
                key=idempotency_key,
                name=new.name,
                owner_id=new.owner_id,
                owner_language=new.language,
            )
            if idempotency_key
            else await tenancy.register(
                conn, name=new.name, owner_id=new.owner_id, owner_language=new.language
            )
        )
        response.headers["Location"] = f"/api/tenants/{made.id}"
        return TenantView.of(await store.overview(conn, made.id))


@router.get(
    "",
    summary="List tenants",
    responses={**_shown(200, {"tenants": [SHOWN], "next": "client_001"}, "A page"), **WRONG},
)
async def page(
    request: Request,
    after: Annotated[
        str, Query(pattern=r"^(client_[0-9]{3,9})?$", description="The last id of the page before")
    ] = "",
    limit: Annotated[int, Query(ge=1, le=500, description="How many at most")] = 50,
    state: Annotated[
        State | None, Query(description=f"Only tenants in this state: {STATES}")
    ] = None,
) -> TenantPage:
    """Return tenants in the order in which they were made, a page at a time."""
    async with _database(request).shared() as conn:
        found = await store.page(conn, after=after, limit=limit + 1, state=state)
    shown = [TenantView.of(overview) for overview in found[:limit]]
    return TenantPage(tenants=shown, next=shown[-1].id if len(found) > limit else None)


@router.get(
    "/{tenant_id}", summary="Show a tenant", responses={**_shown(200, SHOWN, "The tenant"), **ONE}
)
async def show(request: Request, tenant_id: TenantPath) -> TenantView:
    """Return one tenant with its bot, its subscription and its schema's version."""
    async with _database(request).shared() as conn:
        return TenantView.of(await store.overview(conn, tenant_id))


@router.post(
    "/{tenant_id}/suspend",
    summary="Suspend a tenant",
    responses={
        **_shown(200, {**SHOWN, "state": "suspended", "suspended_for": "operator"}, "Suspended"),
        **ONE,
        **_wrong_state("client_001 is archived and cannot be suspended."),
    },
)
async def suspend(request: Request, tenant_id: TenantPath) -> TenantView:
    """Pause a tenant: its bot answers that it is paused, its data stays. May be repeated."""
    async with _database(request).shared() as conn:
        await tenancy.suspend(conn, TenantId(tenant_id), Suspension.OPERATOR)
        return TenantView.of(await store.overview(conn, tenant_id))


@router.post(
    "/{tenant_id}/resume",
    summary="Resume a tenant",
    responses={
        **_shown(200, SHOWN, "Works again, unless it is unpaid"),
        **ONE,
        **_wrong_state("client_001 is not paid for: a payment lifts that, not the operator."),
    },
)
async def resume(request: Request, tenant_id: TenantPath) -> TenantView:
    """Lift the operator's suspension; one for want of payment is lifted by a payment."""
    async with _database(request).shared() as conn:
        await tenancy.resume(conn, TenantId(tenant_id), Suspension.OPERATOR)
        return TenantView.of(await store.overview(conn, tenant_id))


@router.post(
    "/{tenant_id}/archive",
    summary="Archive a tenant",
    responses={
        **_shown(200, {**SHOWN, "state": "archived", "schema_version": None}, "Put away"),
        **ONE,
        **_wrong_state("client_001 is still being provisioned and cannot be archived."),
        **FULL,
    },
)
async def archive(request: Request, tenant_id: TenantPath) -> TenantView:
    """Export the tenant into one file in the data folder, then drop its schema and its role.

    Nothing is dropped unless the file is whole and on the disk. Telegram shuts a bot that our
    button has made to everybody but its owner; another just answers nobody. May be repeated.
    """
    state = request.app.state
    await tenancy.archive(state.database, state.settings, tenant_id, now=state.now())
    return await show(request, tenant_id)


@router.post(
    "/{tenant_id}/restore",
    summary="Restore a tenant",
    responses={
        **_shown(200, SHOWN, "As it was"),
        **ONE,
        **_wrong_state("client_001 is active; only an archived tenant is restored."),
    },
)
async def restore(request: Request, tenant_id: TenantPath) -> TenantView:
    """Bring an archived tenant back from its newest archive, at today's schema version."""
    state = request.app.state
    await tenancy.restore(state.database, state.settings, tenant_id, now=state.now())
    return await show(request, tenant_id)


def _database(request: Request) -> Database:
    database: Database = request.app.state.database
    return database
