"""The `zapisano` command: it reads arguments and calls, and holds no logic."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from zapisano import cli_credits, cli_payments, cli_people
from zapisano.command import do
from zapisano.errors import AppError, BrokenSetting
from zapisano.stack import commands as stack
from zapisano.stack.beside import settings_here

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
tenants = typer.Typer(
    no_args_is_help=True,
    help="Create, show, pause and put away tenants. An order's message once more: payments resend.",
)
app.add_typer(tenants, name="tenants")
jobs = typer.Typer(no_args_is_help=True, help="See what the job process has before it.")
app.add_typer(jobs, name="jobs")
app.add_typer(cli_credits.app, name="credits")
app.add_typer(cli_payments.app, name="payments")
app.add_typer(cli_people.promo, name="promo")
tenants.add_typer(cli_people.tenants)

TenantName = Annotated[str, typer.Argument(metavar="TENANT", help="For example client_001.")]


class Part(StrEnum):
    """What `serve` can serve alone."""

    API = "api"
    WEBHOOK = "webhook"


class Half(StrEnum):
    """What the API can serve without the rest."""

    CREDITS = "credits"


class TenantState(StrEnum):
    """States to choose from."""

    PROVISIONING = "provisioning"
    AWAITING_BOT = "awaiting_bot"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    ARCHIVED = "archived"


@app.callback()
def root() -> None:
    """A thousand Telegram booking bots, the money for them, in one service."""


app.add_typer(stack.app)


@app.command()
def migrate(
    go_on: Annotated[
        bool, typer.Option("--go-on", help="End well though some tenants could not be migrated.")
    ] = False,
) -> None:
    """Bring the shared schema, the roles and every tenant's schema up to date."""
    from zapisano.ops import migrate as ops

    do(lambda settings: ops.migrate(settings, go_on=go_on))


@app.command()
def serve(
    part: Annotated[Part | None, typer.Argument(help="Only this part; both without it.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Needs a part.")] = None,
    only: Annotated[
        Half | None, typer.Option(help="Of the API: credits alone, on port 3000.")
    ] = None,
) -> None:
    """Answer over HTTP: the API and the webhook, on their two ports, in one process."""
    from zapisano import app as composition

    if only and part is not Part.API:
        raise BrokenSetting("--only: is for the API: zapisano serve api --only credits")
    if port and part is None:
        raise BrokenSetting("--port: say which part it is for: zapisano serve api --port 8080")
    parts: list[composition.Part] = [part.value] if part else ["api", "webhook"]
    parts = [only.value] if only else parts
    do(lambda settings: composition.run(settings, parts, port=port))


@app.command()
def worker() -> None:
    """Do the jobs."""
    from zapisano import worker as composition

    settings_here()
    composition.main()


@app.command()
def doctor(*, json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Try every connection and credential, and say what to do about each failure."""
    from zapisano.ops import doctor as ops

    do(lambda settings: ops.report(settings, as_json=json), alone=True)


@tenants.command(name="list")
def list_tenants(
    state: Annotated[TenantState | None, typer.Option(help="Only those in this state.")] = None,
) -> None:
    """List tenants."""
    from zapisano.ops import tenants as ops
    from zapisano.tenancy import State

    do(lambda settings: ops.show_all(settings, State(state) if state else None))


@tenants.command()
def show(tenant: TenantName) -> None:
    """Show one tenant."""
    from zapisano.ops import tenants as ops

    do(lambda settings: ops.show(settings, tenant))


@tenants.command()
def history(
    tenant: TenantName,
    *,
    json: Annotated[bool, typer.Option("--json", help="For programs: a line each.")] = False,
) -> None:
    """Show what happened to a tenant: when, what, by whom, from what to what."""
    from zapisano.ops import history as ops

    do(lambda settings: ops.show(settings, tenant, as_json=json))


@tenants.command()
def create(
    name: Annotated[str, typer.Argument(help="The business's name.")],
    owner: Annotated[int, typer.Option(help="The owner's Telegram id.")],
    language: Annotated[str, typer.Option(help="ru or en.")] = "ru",
) -> None:
    """Make a tenant: its schema and its role are there when this returns."""
    from zapisano.ops import tenants as ops

    do(lambda settings: ops.create(settings, name, owner, language))


@tenants.command()
def seed(
    count: Annotated[int, typer.Argument(metavar="N", min=1, max=100_000)],
) -> None:
    """Make tenants without owners until there are N, for a demo or a measurement."""
    from zapisano.ops import tenants as ops

    do(lambda settings: ops.seed(settings, count))


@tenants.command()
def suspend(tenant: TenantName) -> None:
    """Pause a tenant; its data stays."""
    from zapisano.ops import tenants as ops

    do(lambda settings: ops.suspend(settings, tenant))


@tenants.command()
def resume(tenant: TenantName) -> None:
    """Lift the operator's pause; one for want of payment is lifted by a payment."""
    from zapisano.ops import tenants as ops

    do(lambda settings: ops.resume(settings, tenant))


@tenants.command()
def archive(
    tenant: TenantName,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, as in a script.")] = False,
) -> None:
    """Export a tenant into one file in the data folder, then drop its schema."""
    from zapisano.ops import tenants as ops

    do(lambda settings: ops.archive(settings, tenant, ask=not yes))


@tenants.command()
def restore(
    tenant: TenantName,
    file: Annotated[Path | None, typer.Option(help="Another archive than the newest.")] = None,
) -> None:
    """Bring an archived tenant back."""
    from zapisano.ops import tenants as ops

    do(lambda settings: ops.restore(settings, tenant, file))


@jobs.command(name="list")
def list_jobs(
    *,
    held: Annotated[bool, typer.Option("--held", help="Only those that failed for good.")] = False,
) -> None:
    """List jobs: waiting, running, and held for a person after they have failed for good."""
    from zapisano.ops import jobs as ops

    do(lambda settings: ops.show_all(settings, only_held=held))


@jobs.command()
def requeue(
    ids: Annotated[
        list[int] | None, typer.Argument(metavar="ID…", min=1, max=2**63 - 1, help="As listed.")
    ] = None,
    kind: Annotated[str, typer.Option(help="All held jobs of this kind.")] = "",
) -> None:
    """Let held jobs be done again, once what made them fail is mended."""
    from zapisano.ops import jobs as ops

    do(lambda settings: ops.requeue(settings, ids or [], kind))


def main() -> None:
    """Run the command line; expected trouble is a line or two, never a traceback."""
    try:
        app()
    except BrokenSetting as error:
        sys.exit(_told(error, 2))
    except AppError as error:
        sys.exit(_told(error, 1))
    except KeyboardInterrupt:
        sys.exit(130)


def _told(error: AppError, code: int) -> int:
    sys.stderr.write(f"{error.detail}\n")
    return code
