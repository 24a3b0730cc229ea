"""Real servers for every test that asks: one PostgreSQL cluster, a database of its own per test."""

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import hypothesis
import pytest
import structlog

from own_settings import settings_for
from shared_servers import OWNER_PASSWORD, Servers, shared_servers
from zapisano.db import Database, ledger, open_database, walls
from zapisano.db.migrate import Migration
from zapisano.settings import Settings
from zapisano.tenancy import Tenant, provision, register

# Machines are shared: how long an example takes to make or to run says nothing about the product.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

# structlog's own default draws every frame's variables with a traceback, which takes seconds.
plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])

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


@contextmanager
def template(postgres: str, parent: str, fill: Callable[[str], Awaitable[None]]) -> Generator[str]:
    """A database for the whole run: `parent`, and what `fill` adds as its owner."""
    name = f"template_{secrets.token_hex(6)}"

    async def prepare() -> None:
        await administer(postgres, f"CREATE DATABASE {name} TEMPLATE {parent} OWNER booking_user")
        await fill(with_database(postgres, name, OWNER))

    asyncio.run(prepare())
    yield name
    asyncio.run(administer(postgres, f"DROP DATABASE {name} WITH (FORCE)"))


async def administer(dsn: str, statements: str) -> None:
    """Run statements on a connection of their own."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def template_database(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database at the head of the shared chain, to be cloned for each test."""
    folder = tmp_path_factory.mktemp("data")

    async def fill(dsn: str) -> None:
        await Migration(settings_for(dsn, folder)).run()
        # As an operator does where the owner is no superuser: what the doctor says.
        name = urlsplit(dsn).path.lstrip("/")
        await administer(with_database(postgres, name), walls.statements())

    with template(postgres, "template1", fill) as name:
        yield name


@pytest.fixture(scope="session")
def ledger_template(
    postgres: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The same at the head of the credits' chain too, with nobody in it."""
    folder = tmp_path_factory.mktemp("data")

    async def fill(dsn: str) -> None:
        database = await open_database(settings_for(dsn, folder))
        try:
            async with database.owner() as conn:
                await ledger.upgrade(conn)
        finally:
            await database.close()

    with template(postgres, template_database, fill) as name:
        yield name


@pytest.fixture
def with_ledger() -> None:
    """Who asks for this, a test or its fixture, finds credits installed in the test's database."""


@pytest.fixture
def own_template(request: pytest.FixtureRequest) -> str:
    """What this test's database is a clone of."""
    asked = "with_ledger" in request.fixturenames
    name: str = request.getfixturevalue("ledger_template" if asked else "template_database")
    return name


@pytest.fixture
async def dsn(postgres: str, own_template: str) -> AsyncGenerator[str]:
    """Owner's address of a fresh database of this test."""
    name = f"test_{secrets.token_hex(6)}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {own_template} OWNER booking_user")
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
