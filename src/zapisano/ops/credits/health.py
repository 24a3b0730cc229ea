"""The doctor's look at credits: the ledger, and what else they need. No secret is shown."""

from collections.abc import AsyncGenerator
from datetime import timedelta

from zapisano.clock import utc_now
from zapisano.credits import installation
from zapisano.credits.installation import State
from zapisano.credits.prices import read_prices
from zapisano.credits.store import accounts, alerts
from zapisano.db import OwnerConnection
from zapisano.errors import BrokenSetting
from zapisano.ops.model import Check, Outcome, failed, good, warning
from zapisano.settings import SHORTEST_SECRET_KEY, Settings

RECENTLY = timedelta(days=7)
SOON = timedelta(minutes=1)
NEW_SECRET = "openssl rand -base64 32"  # noqa: S105 # a command


async def check_ledger(settings: Settings, conn: OwnerConnection) -> AsyncGenerator[Check]:
    """Look at a ledger that is there, as far as it can be read before it is migrated."""
    migrated = await _migrations(conn)
    yield migrated
    yield _prices(settings)
    if migrated.outcome is Outcome.OK:
        yield await _frozen(conn)
        yield await _alerts(settings, conn)


async def check_secrets(settings: Settings) -> list[Check]:
    """Look at the secrets that credits go by where they are alone."""
    return [_migration_secret(settings), _sessions(settings)]


async def _migrations(conn: OwnerConnection) -> Check:
    name, found = "Migrations of credits", await installation.status(conn)
    if found.state is not State.MIGRATED:
        remedy = "POST /api/admin/migrate with MIGRATION_SECRET: it may be repeated"
        return failed(name, found.message, remedy)
    return good(name, "up to date")


def _prices(settings: Settings) -> Check:
    """Read the prices of models: nothing else does before somebody is charged."""
    name = "Prices of models"
    try:
        models = read_prices(settings.credits_prices_file).models
    except BrokenSetting as error:
        remedy = "mend the file; nobody can be charged by model until then"
        return failed(name, error.detail, remedy)
    return good(name, f"{len(models)} models have one")


async def _frozen(conn: OwnerConnection) -> Check:
    """Look for accounts about which the operator has to decide."""
    name = "Accounts"
    if found := await accounts.frozen(conn):
        first = ", ".join(str(one.id) for one in found[:5])
        more = ", …" if len(found) > 5 else ""
        return warning(
            name,
            f"frozen, so that nobody may move them: {first}{more}",
            "zapisano credits clashes says why, zapisano credits resolve decides",
        )
    return good(name, "none is frozen")


async def _alerts(settings: Settings, conn: OwnerConnection) -> Check:
    """Look for low balances that the app's server could not be told of."""
    name = "Low balances"
    if not settings.credits_webhook_url:
        return good(name, "are told to nobody: CREDITS_WEBHOOK_URL is not set")
    if count := await alerts.given_up(conn, utc_now() - RECENTLY):
        return warning(
            name,
            f"{count} of the last week's could not be told",
            "see what CREDITS_WEBHOOK_URL answers; the worker's log (alerts_failed, "
            "webhook_is_gone) has the reasons",
        )
    if count := await alerts.untried(conn, utc_now() - SOON):
        return warning(
            name,
            f"{count} wait, and nobody tells them",
            "let a worker run that has CREDITS_WEBHOOK_URL (the demo's has it for an address on "
            "this machine alone), or call GET /api/admin/sweep",
        )
    return good(name, "are told to CREDITS_WEBHOOK_URL")


def _migration_secret(settings: Settings) -> Check:
    name, secret = "MIGRATION_SECRET", settings.migration_secret.get_secret_value()
    remedy = f"set it to the output of: {NEW_SECRET}; then start the API again"
    if not secret:
        return warning(name, "is not set: nobody may migrate, also for an update", remedy)
    if len(secret) < SHORTEST_SECRET_KEY and not settings.demo:
        return failed(name, "is too short: the API does not start with it", remedy)
    return good(name, "is set")


def _sessions(settings: Settings) -> Check:
    name = "Sessions"
    if settings.session_secrets:
        return good(name, "are opened by NEXTAUTH_SECRET or AUTH_SECRET")
    if settings.auth_session_query:
        return good(name, "are looked up by AUTH_SESSION_QUERY")
    return warning(
        name,
        "no secret of the web app is set: server keys alone are let in",
        "set its NEXTAUTH_SECRET or AUTH_SECRET, then start the API again",
    )
