"""The four commands of the stack: demo, up, psql, redis. They read arguments and call."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from zapisano.errors import BrokenSetting
from zapisano.stack.config import StackConfig, known
from zapisano.stack.refusal import Refusal, StartFailed

if TYPE_CHECKING:
    from zapisano.stack.run import Planner

PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}
NO_BROWSER = typer.Option("--no-browser", help="Do not open the page.")
TENANTS = typer.Option(
    "--tenants", metavar="N", min=0, max=100_000, help="Make N tenants beside those that are sold."
)

app = typer.Typer(no_args_is_help=True, add_completion=False)


@contextmanager
def _answers() -> Generator[StackConfig]:
    """The stack's settings; what the operator can mend is said in a line, without a traceback."""
    try:
        yield StackConfig.from_environment(known())
    except (Refusal, BrokenSetting) as refusal:
        sys.stderr.write(f"{refusal}\n")
        raise typer.Exit(2) from None
    except StartFailed as failed:
        sys.stderr.write(f"{failed}\n")
        raise typer.Exit(failed.exit_code) from None


@app.command()
def demo(
    *, no_browser: Annotated[bool, NO_BROWSER] = False, tenants: Annotated[int, TENANTS] = 0
) -> None:
    """Run everything on this machine, the outside world simulated, and open the page."""
    from zapisano.stack import plan

    start("demo", plan.demo, browser=not no_browser, tenants=tenants)


@app.command()
def up() -> None:
    """Run the service; servers that no setting names are embedded."""
    from zapisano.stack import plan

    start("up", plan.up, browser=False)


def start(mode: str, plan_of: "Planner", *, browser: bool, tenants: int = 0) -> None:
    """Run a plan in the foreground; the tests give plans with programs of their own.

    Raises:
        typer.Exit: it could not run; the reason has been written.
    """
    from zapisano.stack import run

    with _answers() as config:
        run.run(config, mode, plan_of, browser=browser, tenants=tenants)


@app.command(context_settings=PASS_ON, options_metavar="[client_001] [psql's options]")
def psql(context: typer.Context) -> None:
    """Open the database; a tenant's id first enters its schema: zapisano psql client_001 -c SQL."""
    from zapisano.stack import psql as program

    with _answers() as config:
        called = program.call(config, context.args)
        program.check_tenant(called)
        called.become()


@app.command(context_settings=PASS_ON, options_metavar="[COMMAND ...]")
def redis(context: typer.Context) -> None:
    """A small redis-cli: one command, or lines until `exit`."""
    from zapisano.stack import addresses, redis_cli

    with _answers() as config:
        url = addresses.redis_url(config.environment)
        url = url or addresses.running(config, "REDIS_URL").redis_url
        raise typer.Exit(redis_cli.call(url, context.args))
