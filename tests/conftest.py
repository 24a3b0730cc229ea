"""Real servers for every test that asks: one PostgreSQL cluster, a database of its own per test."""

import os
import secrets
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest

from own_settings import settings_for
from shared_servers import OWNER_PASSWORD, Servers, shared_servers
from zapisano.db import Database, open_database, walls
from zapisano.db.migrate import Migration
from zapisano.settings import Settings
from zapisano.tenancy import Tenant, provision, register

# Machines are shared: how long an example takes to make or to run says nothing about the product.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

OWNER = f"booking_user:{OWNER_PASSWORD}"


def with_database(dsn: str, name: str, user: str | None = None) -> str:
    """Point an address at another database, and log in as another user."""
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(
        parts._replace(path=f"/{name}", netloc=f"{user}@{host}" if user else parts.netloc)
    )


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let `xdist_group` work: pytest-xdist 3.8 writes a test's group into an attribute that
    pytest 9.2 no longer reads, and without it every worker starts every group's servers."""
    for item in items:
        if grouped := vars(item).get("_nodeid"):
            item._id = type(item._id).parse(grouped)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The run's PostgreSQL and Valkey; the first worker that asks starts them."""
    folder = tmp_path_factory.getbasetemp()
    with shared_servers(folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) as both:
        yield both


@pytest.fixture(scope="session")
def postgres(servers: Servers) -> str:
    """Address of a superuser on a real cluster."""
    return servers.postgres.dsn("postgres", user="postgres")


@pytest.fixture(scope="session")
def valkey_url(servers: Servers) -> str:
    """Address of a real Valkey."""
    return servers.valkey_url


@pytest.fixture(scope="session")
def template_database(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database at the head of the shared chain, to be cloned for each test."""
    import asyncio

    name = f"template_{secrets.token_hex(6)}"

    async def prepare() -> None:
        admin = await asyncpg.connect(postgres)
        await admin.execute(f"CREATE DATABASE {name} OWNER booking_user")
        await admin.close()
        dsn = with_database(postgres, name, OWNER)
        await Migration(settings_for(dsn, tmp_path_factory.mktemp("data"))).run()
        # As an operator does where the owner is no superuser: what the doctor says.
        admin = await asyncpg.connect(with_database(postgres, name))
        await admin.execute(walls.statements())
        await admin.close()

    async def drop() -> None:
        admin = await asyncpg.connect(postgres)
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()

    asyncio.run(prepare())
    yield name
    asyncio.run(drop())


@pytest.fixture
async def dsn(postgres: str, template_database: str) -> AsyncGenerator[str]:
    """Owner's address of a fresh database of this test."""
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template_database} OWNER booking_user")
    try:
        yield with_database(postgres, name, OWNER)
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


@pytest.fixture
def settings(dsn: str, tmp_path: Path) -> Settings:
    """Settings of this test's database."""
    return settings_for(dsn, tmp_path)


@pytest.fixture
async def database(settings: Settings) -> AsyncGenerator[Database]:
    """This test's database, opened as the product opens it."""
    opened = await open_database(settings)
    try:
        yield opened
    finally:
        await opened.close()


@pytest.fixture
async def witness(dsn: str) -> AsyncGenerator["asyncpg.Connection[asyncpg.Record]"]:
    """A second connection, as the owner: what is asserted through it has really been committed."""
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def tenants(database: Database) -> tuple[Tenant, Tenant]:
    """Two provisioned tenants; a test works on the first and finds the second untouched."""
    made: list[Tenant] = []
    for name in ("Салон Ромашка", "Барбершоп Борода"):
        async with database.shared() as conn:
            tenant = await register(conn, name=name, owner_id=100200301)
        await provision(database, tenant.id)
        made.append(tenant)
    return made[0], made[1]
