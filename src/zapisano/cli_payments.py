"""`zapisano payments …`: it reads arguments and calls, and holds no logic."""

from enum import StrEnum
from typing import Annotated

import typer

from zapisano.command import Who, do

app = typer.Typer(
    no_args_is_help=True, help="What YooKassa has told us, and what a person decides."
)

Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Count = Annotated[int, typer.Option(min=1, max=1000, help="How many to list at most.")]


class NoticeState(StrEnum):
    """States of a notification to choose from."""

    WAITING = "waiting"
    DEAD = "dead"
    HANDLED = "handled"


@app.command()
def inbox(
    state: Annotated[NoticeState | None, typer.Option(help="Only those in this state.")] = None,
    count: Count = 50,
    *,
    json: Json = False,
) -> None:
    """List notifications, the newest first: handled, waiting, or dead after the last attempt."""
    from zapisano.ops.payments import inbox as ops

    do(lambda settings: ops.show_all(settings, state and state.value, count, as_json=json))


@app.command()
def replay(
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="ID…", min=1, max=2**63 - 1, help="As listed.")
    ] = None,
    *,
    all_dead: Annotated[
        bool, typer.Option("--all-dead", help="Every one that nobody will handle any more.")
    ] = False,
) -> None:
    """Handle notifications again, once what stopped them is mended. It grants nothing twice."""
    from zapisano.ops.payments import inbox as ops

    do(lambda settings: ops.replay(settings, ids or [], all_dead=all_dead))


@app.command()
def show(
    about: Annotated[str, typer.Argument(metavar="ORDER|PAYMENT", help="The id of either.")],
    *,
    json: Json = False,
) -> None:
    """Show an order with its payment, notifications, reviews and what the journal says."""
    from zapisano.ops.payments import orders as ops

    do(lambda settings: ops.show(settings, about, as_json=json))


@app.command()
def find(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="WHOM", help="A phone, Telegram id, e-mail, card's last four, order or tenant."
        ),
    ],
    count: Count = 50,
    *,
    json: Json = False,
) -> None:
    """Find orders by what a buyer can tell you."""
    from zapisano.ops.payments import orders as ops

    do(lambda settings: ops.find(settings, " ".join(words), count, as_json=json))


@app.command()
def settle(payment: Annotated[str, typer.Argument(metavar="PAYMENT", help="Its id.")]) -> None:
    """Ask YooKassa after a payment now, and do what its state asks for."""
    from zapisano.ops.payments import orders as ops

    do(lambda settings: ops.settle(settings, payment))


@app.command()
def review(
    close: Annotated[int | None, typer.Option(metavar="ID", min=1, help="Close this one.")] = None,
    note: Annotated[str, typer.Option(help="With --close: what was done about it.")] = "",
    count: Count = 200,
    *,
    json: Json = False,
) -> None:
    """List what waits for your decision, or close it: nothing was granted for any of these."""
    from zapisano.ops.payments import reviews as ops

    do(lambda settings: ops.review(settings, close, note, count, as_json=json))


@app.command(name="webhook-register")
def webhook_register(
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Also move an event that goes elsewhere.")
    ] = False,
) -> None:
    """Say what to enter in YooKassa's cabinet; with a partner's token, enter it."""
    from zapisano.ops.payments import webhook as ops

    do(lambda settings: ops.register(settings, replace=replace), alone=True)


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


@app.command()
def resend(
    order: Annotated[str, typer.Argument(metavar="ORDER", help="The order's id.")],
    who: Who,
) -> None:
    """Send an order's buyer once more what was said last: paid, not paid, or where to pay."""
    from zapisano.ops import support as ops

    do(lambda settings: ops.resend(settings, order, who=who))
