"""`zapisano credits …`: it reads arguments and calls, and holds no logic."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zapisano.command import do

app = typer.Typer(no_args_is_help=True, help="Prepaid credits: accounts, proof, exports, keys.")
keys = typer.Typer(no_args_is_help=True, help="Keys of servers that charge for their users.")
app.add_typer(keys, name="keys")

Email = Annotated[str, typer.Argument(metavar="EMAIL", help="In any case.")]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="Credits, as 12.50.")]
Key = Annotated[str, typer.Option(help="A word of yours; again with it changes nothing.")]
# `adjust EMAIL -5.00` is an amount, and no option.
SIGNED = {"ignore_unknown_options": True}


class By(StrEnum):
    """What accounts are ranked by."""

    SPENT = "spent"
    BALANCE = "balance"
    CHARGES = "charges"


class Form(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"


@app.command()
def verify(
    *, heads: Annotated[bool, typer.Option("--heads", help="Show each account's head.")] = False
) -> None:
    """Prove the whole ledger; end with 1 and name what does not hold, if anything does not."""
    from zapisano.ops.credits import audit

    do(lambda settings: audit.prove(settings, heads=heads))


@app.command()
def show(email: Email) -> None:
    """Show an account: what it has, what is held, and its last movements."""
    from zapisano.ops.credits import accounts

    do(lambda settings: accounts.show(settings, email))


@app.command()
def grant(
    email: Email,
    amount: Amount,
    until: Annotated[str, typer.Option(help="The last day, as 2026-12-31, or days: 30d.")] = "",
    reason: Annotated[str, typer.Option(help="The customer reads it.")] = "Granted",
    key: Key = "",
) -> None:
    """Give credits; what is left of them ends with a day, if you name one."""
    from zapisano.ops.credits import accounts

    do(
        lambda settings: accounts.grant(
            settings, email, amount, until=until, reason=reason, key=key
        )
    )


@app.command(context_settings=SIGNED)
def adjust(
    email: Email,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="As 12.50 or -12.50.")],
    reason: Annotated[str, typer.Option(help="The customer reads it.")],
    key: Key = "",
) -> None:
    """Put an account right, up or down; down to the floor at most."""
    from zapisano.ops.credits import accounts

    do(lambda settings: accounts.adjust(settings, email, amount, reason=reason, key=key))


@app.command(name="auto-topup")
def auto_topup(
    email: Email,
    *,
    off: Annotated[bool, typer.Option("--off", help="End it and forget the card.")] = False,
) -> None:
    """Show how an account is topped up by itself, or end that at once."""
    from zapisano.ops.credits import auto_topup as ops

    do(lambda settings: ops.end(settings, email) if off else ops.show(settings, email))


@app.command()
def top(
    by: Annotated[By, typer.Option(help="What counts.")] = By.SPENT,
    days: Annotated[int | None, typer.Option(min=1, max=36_500, help="Only the last N.")] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many to list.")] = 20,
) -> None:
    """List who has spent or has most, or was charged most often."""
    from zapisano.ops.credits import accounts

    do(lambda settings: accounts.top(settings, accounts.By(by), days, count))


@app.command()
def export(
    email: Annotated[str, typer.Argument(metavar="[EMAIL]", help="Everybody without it.")] = "",
    form: Annotated[Form, typer.Option("--format", help="CSV, or JSON lines.")] = Form.CSV,
    output: Annotated[Path | None, typer.Option(help="A file; it is written whole.")] = None,
) -> None:
    """Write out movements, an account's or everybody's."""
    from zapisano.credits import export
    from zapisano.ops.credits import exporting

    do(lambda settings: exporting.write(settings, email, export.Form(form), output))


@app.command()
def clashes() -> None:
    """List accounts of the original system about which you have to decide."""
    from zapisano.ops.credits import clashes as ops

    do(ops.show_all)


@app.command()
def resolve(
    email: Email,
    keep: Annotated[int, typer.Option(metavar="ACCOUNT", help="As `clashes` lists them.")],
    balance: Annotated[str, typer.Option(help="For an account that has none.")] = "",
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, as in a script.")] = False,
) -> None:
    """Keep one account of an address and merge the others into it."""
    from zapisano.ops.credits import clashes as ops

    do(lambda settings: ops.resolve(settings, email, keep, balance, ask=not yes))


@app.command()
def session(email: Email) -> None:
    """Print a session cookie, good for thirty days, to try the API with."""
    from zapisano.ops.credits import keys as ops

    do(lambda settings: ops.session(settings, email), alone=True)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    scope: Annotated[list[str], typer.Option(help="read, charge, hold, refund, batch, topup.")],
    most: Annotated[str, typer.Option(help="Credits that it may move at once.")] = "",
    per_minute: Annotated[int | None, typer.Option(help="Requests that it may send.")] = None,
) -> None:
    """Make a key, and show it this once."""
    from zapisano.ops.credits import keys as ops

    do(lambda settings: ops.create(settings, name, scope, most, per_minute))


@keys.command(name="list")
def list_keys() -> None:
    """List keys, those that are revoked too."""
    from zapisano.ops.credits import keys as ops

    do(ops.show_all)


@keys.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="As listed.")]) -> None:
    """Refuse a key from now on."""
    from zapisano.ops.credits import keys as ops

    do(lambda settings: ops.revoke(settings, key_id))
