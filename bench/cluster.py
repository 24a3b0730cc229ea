"""A PostgreSQL to measure on: an embedded one of this run, or ZAPISANO_TEST_POSTGRES."""

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from pydantic import SecretStr

from zapisano.db.migrate import Migration
from zapisano.settings import Settings
from zapisano.stack.servers import embedded_postgres


@contextmanager
def superuser() -> Generator[str]:
    """Address of a superuser. The embedded server keeps its safe defaults: fsync is on."""
    given = os.environ.get("ZAPISANO_TEST_POSTGRES")
    if given:
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="zapisano-bench-"))
    folder.chmod(0o711)  # PostgreSQL's own account passes through it
    try:
        with embedded_postgres(folder) as server:
            yield server.dsn("postgres", user="postgres")
    finally:
        shutil.rmtree(folder)


@asynccontextmanager
async def database(admin_dsn: str) -> AsyncGenerator[Settings]:
    """Settings of a new database of a new owner, at the head; both are dropped at the end."""
    name, password = f"bench_{secrets.token_hex(4)}", secrets.token_hex(8)
    admin = await asyncpg.connect(admin_dsn)
    await _refuse_a_live_server(admin)
    await admin.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD '{password}'")
    for group in ("booking_app", "booking_tenant"):
        if await admin.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", group):
            await admin.execute(f"GRANT {group} TO {name} WITH ADMIN OPTION")
    await admin.execute(f"CREATE DATABASE {name} OWNER {name}")
    parts = urlsplit(admin_dsn)
    host = parts.netloc.rpartition("@")[2]
    dsn = parts._replace(netloc=f"{name}:{password}@{host}", path=f"/{name}").geturl()
    # Only what is given here: the operator's own environment has no part in a benchmark.
    settings = Settings.model_construct(
        database_url=SecretStr(dsn),
        app_database_url=SecretStr(""),
        secret_key=SecretStr(secrets.token_hex(32)),
        database_pool_size=8,
        database_tenants_per_connection=250,
        database_statement_cache=256,
    )
    try:
        await Migration(settings).run()
        yield settings
    finally:
        await _drop(admin, name)
        await admin.close()


async def _refuse_a_live_server(admin: "asyncpg.Connection[asyncpg.Record]") -> None:
    """The app's role belongs to the server: a benchmark would give it a password of its own."""
    used = await admin.fetchval(
        """SELECT string_agg(DISTINCT datname, ', ') FROM pg_shdepend
           JOIN pg_database ON pg_database.oid = dbid
           WHERE refobjid = to_regrole('booking_app') AND datname NOT LIKE 'bench\\_%'"""
    )
    if used:
        raise SystemExit(f"This server runs Zapisano already, in {used}: measure on another one.")


async def _drop(admin: "asyncpg.Connection[asyncpg.Record]", name: str) -> None:
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    roles = await admin.fetch(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE $1", f"{name}\\_client\\_%"
    )
    for role in roles:
        await admin.execute(f"DROP ROLE {role['rolname']}")
    await admin.execute(f"DROP OWNED BY {name}")
    await admin.execute(f"DROP ROLE {name}")


async def server_memory(admin_dsn: str, name: str) -> tuple[int, int]:
    """Return how many of the server's processes serve a database, and their memory in bytes.

    Proportional set size, so that shared buffers are counted once. The server must run on this
    machine, as our user or seen by root; else the memory is 0.
    """
    admin = await asyncpg.connect(admin_dsn)
    try:
        pids = await admin.fetch(
            """SELECT pid FROM pg_stat_activity
               WHERE datname = $1 AND application_name = 'zapisano'""",
            name,
        )
    finally:
        await admin.close()
    return len(pids), sum(proportional_memory(row["pid"]) for row in pids)


def proportional_memory(pid: int | str) -> int:
    """Return a process's own share of memory in bytes, 0 where it cannot be seen."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
