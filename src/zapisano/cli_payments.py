"""`zapisano payments …`: it reads arguments and calls, and holds no logic."""

from typing import Annotated

import typer

from zapisano.command import do

app = typer.Typer(no_args_is_help=True, help="Money: give it back, compare it with YooKassa's.")


@app.command()
def refund(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")],
    amount: Annotated[str, typer.Option(help="Roubles, as 100.00; all that is left without.")] = "",
    reason: Annotated[str, typer.Option(help="Goes to YooKassa with the refund.")] = "",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, as in a script.")] = False,
) -> None:
    """Give an order's money back; the days or credits that are not used go with it."""
    from zapisano.ops.payments import refunding

    do(lambda settings: refunding.refund(settings, order, amount, reason, ask=not yes))


@app.command()
def reconcile(
    since: Annotated[str, typer.Option(help="The first day, as 2026-11-28.")] = "",
    until: Annotated[str, typer.Option(help="The last day.")] = "",
) -> None:
    """Compare YooKassa's money with ours, both ways; end with 1 if anything differs."""
    from zapisano.ops.payments import reconciling

    do(lambda settings: reconciling.compare(settings, since, until))
