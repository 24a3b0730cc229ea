"""The doctor's look at PostgreSQL."""

from collections.abc import AsyncGenerator

from zapisano.db import OwnerConnection, ledger, open_database, roles, walls
from zapisano.db.chains import head, knows
from zapisano.db.database import database_name
from zapisano.db.migrate import tenants_behind
from zapisano.db.probe import backends_are_shared, bare_transaction
from zapisano.errors import BrokenSetting, Busy
from zapisano.jobs.store import held
from zapisano.ops import store
from zapisano.ops.credits.health import check_ledger
from zapisano.ops.model import Check, brings_its_own, failed, good, warning
from zapisano.settings import Settings
from zapisano.vault import Vault

OLDEST_VERSION = 150000
BTREE_GIST_REMEDY = "install the package postgresql-contrib of your server's version"


async def check_database(settings: Settings) -> list[Check]:
    """Look at the server, the pooler before it, the schemas and the roles."""
    if brings_its_own(settings):
        remedy = (
            "start `zapisano up` (it brings its own), or set "
            "DATABASE_URL=postgresql://booking_user:…@host/booking_saas"
        )
        return [failed("PostgreSQL", "not running", remedy)]
    return await _told(_everything(settings))


async def check_credits(settings: Settings) -> list[Check]:
    """Look at the server, the pooler before it and the ledger, where nothing else is."""
    return await _told(_credits(settings))


async def has_credits_alone(settings: Settings) -> bool:
    """Say whether there is nothing here but credits, by the settings and in the database."""
    others = (settings.sales_bot_token, settings.secret_key)
    if brings_its_own(settings) or any(one.get_secret_value() for one in others):
        return False
    try:
        async with bare_transaction(settings.database_url.get_secret_value()) as conn:
            alone = (await store.server(conn)).owns_shared is None
            return alone and await ledger.is_installed(conn)
    except (Busy, BrokenSetting):
        return False  # the look at the database says why


async def _told(checks: AsyncGenerator[Check]) -> list[Check]:
    """Make checks; a server that does not answer ends them, and is told as one."""
    found: list[Check] = []
    try:
        async for check in checks:
            found.append(check)  # noqa: PERF401 # what was found before a failure is told as well
    except (Busy, BrokenSetting) as error:
        what = error.detail.removeprefix("DATABASE_URL: ")
        remedy = (
            "see that the server runs, and that DATABASE_URL has its host, port, user, password "
            "and database"
        )
        found.append(failed("PostgreSQL", what, remedy))
    return found


async def _everything(settings: Settings) -> AsyncGenerator[Check]:
    dsn = settings.database_url.get_secret_value()
    async with bare_transaction(dsn) as conn:
        yield _server(await store.server(conn))
        yield _gist(await store.server(conn))
        migrated = await store.shared_version(conn) == head("shared")
        yield await _migrations(conn)
        if migrated:
            yield await _held(conn)
            yield await _tokens(settings, conn)
            yield await _roles(settings, conn)
            if settings.webhook_url:
                yield await _bots(settings, conn)
        if await ledger.is_installed(conn):
            async for check in check_ledger(settings, conn):
                yield check
        yield await _walls(settings, conn)
    yield await _pooler(settings, dsn)
    if migrated:
        yield await _isolation(settings)


async def _credits(settings: Settings) -> AsyncGenerator[Check]:
    dsn = settings.database_url.get_secret_value()
    async with bare_transaction(dsn) as conn:
        yield _server(await store.server(conn))
        yield good("Zapisano", "only credits are here")
        async for check in check_ledger(settings, conn):
            yield check
    yield await _pooler(settings, dsn)


def _server(server: store.Server) -> Check:
    found = f"{server.version}, database {server.database} as {server.login}"
    if server.number < OLDEST_VERSION:
        return failed("PostgreSQL", found, "use PostgreSQL 15 or newer (16 for isolation by role)")
    if server.owns_shared is False:
        return failed(
            "PostgreSQL",
            f"{found}, who does not own the schema shared",
            "let DATABASE_URL log in as the owner of the tables (booking_user)",
        )
    return good("PostgreSQL", found)


def _gist(server: store.Server) -> Check:
    name = "Extension btree_gist"
    if server.gist:
        return good(name, "is there")
    if server.gist_available:
        return failed(name, "is not created", "zapisano migrate")
    return failed(name, "is not installed on the server", BTREE_GIST_REMEDY)


async def _migrations(conn: OwnerConnection) -> Check:
    name, version = "Migrations", await store.shared_version(conn)
    if version is None:
        return failed(name, "the database is empty", "zapisano migrate")
    if version != head("shared"):
        newer = not knows("shared", version)
        remedy = "use the newer Zapisano that made it" if newer else "zapisano migrate"
        return failed(name, f"the shared schema is at {version}", remedy)
    tenants, behind = await store.count_tenants(conn), await tenants_behind(conn)
    if behind:
        first = ", ".join(behind[:5])
        return failed(
            name, f"{len(behind)} of {tenants} tenants are behind: {first}", "zapisano migrate"
        )
    return good(name, f"up to date: {version}, {tenants} tenants at {head('tenant')}")


async def _walls(settings: Settings, conn: OwnerConnection) -> Check:
    """Look at what PostgreSQL itself lets every role see and do."""
    name = "Walls in the catalog"
    if gaps := await walls.gaps(conn):
        return warning(name, f"a tenant's role may {', '.join(gaps)}", walls.remedy(settings))
    return good(name, "stand")


async def _held(conn: OwnerConnection) -> Check:
    """Look for jobs that nobody will try again until a person says so."""
    if found := await held(conn):
        kinds = ", ".join(f"{kind}: {count}" for kind, count in found.items())
        return warning(
            "Jobs",
            f"held, since they failed for good: {kinds}",
            "zapisano jobs list --held names the errors, the worker's log (job_failed) has the "
            "rest; mend the cause, then: zapisano jobs requeue --kind KIND, or their ids",
        )
    return good("Jobs", "none is held")


async def _tokens(settings: Settings, conn: OwnerConnection) -> Check:
    """See whether the secret key is the one that the bots' tokens were encrypted with."""
    name = "Bots' tokens"
    if (token := await store.a_sealed_token(conn)) is None:
        return good(name, "there are none yet")
    try:
        Vault(settings).unlock(token)
    except BrokenSetting as error:
        return failed(
            name,
            error.detail,
            "put the key back that you had: it is in secrets.json of the data folder that "
            "`zapisano up` ran in, or in your backup; a new one opens nothing",
        )
    return good(name, "are opened by ZAPISANO_SECRET_KEY")


async def _bots(settings: Settings, conn: OwnerConnection) -> Check:
    name = "Tenants' bots"
    if unheard := await store.unheard_bots(conn, settings.webhook_url):
        return warning(
            name,
            f"{unheard} get no updates at WEBHOOK_URL",
            "start `zapisano worker` (again): it connects them, unless a process with CLIENT_ID "
            "serves them alone",
        )
    return good(name, "their updates come to WEBHOOK_URL")


async def _pooler(settings: Settings, dsn: str) -> Check:
    name = "Connection pooler"
    if not await backends_are_shared(dsn):
        return good(name, "none that pools transactions")
    remedy = (
        "let DATABASE_URL name PostgreSQL's own address: Zapisano pools by itself, and its jobs "
        "listen for notifications, which a transaction pooler drops"
    )
    if settings.database_statement_cache:
        return failed(
            name,
            "a transaction pooler is in front while statements are cached: a tenant may be shown "
            "another one's rows",
            f"{remedy} (the HTTP parts alone may use the pooler with DATABASE_STATEMENT_CACHE=0)",
        )
    return warning(name, "a transaction pooler is in front", remedy)


async def _roles(settings: Settings, conn: OwnerConnection) -> Check:
    """Look for what is left when isolation was turned on while Zapisano was running."""
    name = "Tenants' roles"
    if not await roles.isolation_is_on(conn):
        return good(name, "are not used")
    database = database_name(settings.database_url.get_secret_value())
    if missing := await roles.schemas_without_role(conn, database):
        first = ", ".join(missing[:5])
        return failed(
            name, f"{len(missing)} tenants have none: {first}", "zapisano migrate makes them"
        )
    if not settings.app_database_url.get_secret_value() and await store.logins_as_owner(conn):
        return warning(name, "running processes still log in as the owner", "start Zapisano again")
    return good(name, "are there")


async def _isolation(settings: Settings) -> Check:
    name = "Isolation by role"
    try:
        database = await open_database(settings, quiet=True)
        try:
            async with database.shared() as conn:
                login = await store.login(conn)
        finally:
            await database.close()
    except Busy as error:
        return failed(
            name,
            f"the app cannot log in: {error.detail}",
            "see that APP_DATABASE_URL is right, or leave it out"
            if settings.app_database_url.get_secret_value()
            else "zapisano migrate (it sets the app's password anew from ZAPISANO_SECRET_KEY), and "
            "see that pg_hba.conf lets booking_app in",
        )
    if not database.isolated:
        return warning(name, "is off: everything works as one role", roles.remedy(settings))
    return good(name, f"is on; the app logs in as {login}")
