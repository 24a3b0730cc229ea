"""`zapisano promo …`, and of `zapisano tenants …` what support does for people."""

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Annotated

import typer

from zapisano.command import Who, do
from zapisano.errors import Refused

promo = typer.Typer(no_args_is_help=True, help="Make, list and end promo codes.")
tenants = typer.Typer(no_args_is_help=True)

Code = Annotated[str, typer.Argument(help="3 to 32 of A-Z, 0-9, - and _; case is the same.")]
TenantName = Annotated[str, typer.Argument(metavar="TENANT", help="For example client_001.")]
TELEGRAM_ID = re.compile(r"[0-9]{1,16}", re.ASCII)


@promo.command()
def create(
    code: Code,
    percent: Annotated[int | None, typer.Option(min=1, max=99, help="Off the price.")] = None,
    fixed: Annotated[str, typer.Option(help="Roubles off the price, instead.")] = "",
    uses: Annotated[int | None, typer.Option(min=1, max=2**31 - 1, help="How often.")] = None,
    until: Annotated[str, typer.Option(help="Its last day, as 2026-12-31.")] = "",
    plans: Annotated[str, typer.Option(help="Only these, for example 3m,6m.")] = "",
    *,
    once_per_person: Annotated[
        bool, typer.Option("--once-per-person", help="Nobody uses it twice.")
    ] = False,
    who: Who = "operator",
) -> None:
    """Make a promo code; it works at once, and by the link that is printed."""
    from zapisano.ops import promo as ops

    wish = ops.Wish(
        code=code,
        percent=percent,
        fixed=_roubles(fixed),
        uses=uses,
        until=_day(until),
        plans=tuple(one.strip() for one in plans.split(",") if one.strip()),
        once_per_person=once_per_person,
    )
    do(lambda settings: ops.create(settings, wish, who=who))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise Refused("--until: write its last day, as 2026-12-31") from error


def _roubles(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation as error:
        raise Refused("fixed: is a sum in roubles, for example 100 or 99.50") from error


@promo.command(name="list")
def list_codes() -> None:
    """List the codes and how often each is used."""
    from zapisano.ops import promo as ops

    do(ops.show_all)


@promo.command()
def end(code: Code, *, who: Who = "operator") -> None:
    """Let nobody use a code any more; orders that hold it keep their price."""
    from zapisano.ops import promo as ops

    do(lambda settings: ops.end(settings, code, who=who))


@tenants.command()
def add_days(
    tenant: TenantName,
    days: Annotated[int, typer.Argument(min=1, max=3660)],
    why: Annotated[str, typer.Option(help="In a word or two; no names or numbers of people.")],
    who: Who,
) -> None:
    """Give a tenant days; its owner is told."""
    from zapisano.ops import support as ops

    do(lambda settings: ops.add_days(settings, tenant, days, why=why, who=who))


@tenants.command()
def move(
    tenant: TenantName,
    to: Annotated[str, typer.Option(help="The new owner's Telegram id.")],
    who: Who,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, as in a script.")] = False,
) -> None:
    """Give a tenant to another person."""
    from zapisano.ops import support as ops

    if not TELEGRAM_ID.fullmatch(to):
        raise Refused(f"--to: {to[:32]!r} is no Telegram id; it is a number, as 100200301")
    do(lambda settings: ops.move(settings, tenant, int(to), who=who, ask=not yes))
