"""The three chains of migrations, read by Alembic and rendered offline into plain statements.

Alembic is imported inside the functions that need it: that takes most of a second, and a process
that only serves renders nothing.
"""

import io
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, LiteralString, cast

from zapisano.db.connection import OwnerConnection

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

Chain = Literal["shared", "tenant", "credits"]
FOLDER = Path(__file__).with_name("migrations")
VERSION_TABLES: dict[Chain, LiteralString] = {
    "shared": "schema_version",
    "tenant": "tenant_version",
    "credits": "schema_version",
}
# Where a chain's version is kept. Credits may be alone on a database, so they keep their own.
VERSION_SCHEMAS: dict[Chain, LiteralString] = {
    "shared": "shared",
    "tenant": "shared",
    "credits": "credits",
}
# The newest versions, to be known without reading the chains; a test compares.
SHARED_HEAD = "s0016"
CREDITS_HEAD = "c0004"


@cache
def _scripts(chain: Chain, folder: Path) -> "ScriptDirectory":
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    # A percent sign begins an interpolation in Alembic's settings.
    config.set_main_option("script_location", str(folder / chain).replace("%", "%%"))
    return ScriptDirectory.from_config(config)


def head(chain: Chain, folder: Path = FOLDER) -> str:
    """Return the newest version of a chain."""
    newest = _scripts(chain, folder).get_current_head()
    if newest is None:
        raise LookupError(f"the chain {chain} has no versions")
    return newest


def knows(chain: Chain, version: str, folder: Path = FOLDER) -> bool:
    """Say whether `version` belongs to a chain of this program."""
    return version in {script.revision for script in _scripts(chain, folder).walk_revisions()}


class _Statements(io.StringIO):
    """Alembic writes one statement per call; keep them apart."""

    def __init__(self) -> None:
        super().__init__()
        self.all: list[str] = []

    def write(self, text: str, /) -> int:
        statement = text.strip().rstrip(";")
        if statement and not statement.startswith("--"):
            self.all.append(statement)
        return len(text)


@cache
def render(
    chain: Chain, start: str | None, *, end: str = "head", folder: Path = FOLDER
) -> tuple[LiteralString, ...]:
    """Return the statements that lead from version `start` (None: nothing) to `end`."""
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext

    scripts = _scripts(chain, folder)
    buffer = _Statements()

    def upgrade(revision: Any, _context: object) -> Any:  # as Alembic types it
        return scripts._upgrade_revs(end, revision)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # what its `upgrade` calls

    context = MigrationContext.configure(
        dialect_name="postgresql",
        dialect_opts={"paramstyle": "named"},  # else 'a%' and ':x' inside SQL are corrupted
        opts={
            "as_sql": True,
            "starting_rev": start,
            "fn": upgrade,
            "version_table": VERSION_TABLES[chain],
            "version_table_schema": VERSION_SCHEMAS[chain],
            "output_buffer": buffer,
        },
    )
    with Operations.context(context):
        context.run_migrations()
    kept = [s for s in buffer.all if chain != "tenant" or not s.startswith("CREATE TABLE shared.")]
    return cast("tuple[LiteralString, ...]", tuple(kept))


async def apply(conn: OwnerConnection, statements: Iterable[LiteralString]) -> None:
    """Run statements one by one: some engines (Citus) refuse several in one string."""
    for statement in statements:
        await conn.execute(statement)
