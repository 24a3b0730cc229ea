"""The SQL of archiving and restoring: what a schema holds, its rows out by COPY and in again.

Names of tables and columns come from the catalog or from a sealed manifest, and become SQL through
`quoted` alone. Definitions (types, defaults, constraints) are the catalog's own texts.
"""

from collections import defaultdict
from collections.abc import AsyncIterable, Sequence
from datetime import datetime
from graphlib import TopologicalSorter
from typing import Any, LiteralString, cast

from zapisano.db import Output, OwnerConnection, SharedConnection
from zapisano.db.names import SchemaName, quoted
from zapisano.tenancy.manifest import Column, Constraint, Table
from zapisano.tenancy.manifest import Sequence as NumberSequence

# Functions that the tenant chain makes itself.
OUR_FUNCTIONS = ("zone",)
LOCK_TIMEOUT: LiteralString = "5s"
# Texts of values must not depend on how somebody set up the server.
PLAIN_VALUES: tuple[LiteralString, ...] = (
    "SET LOCAL datestyle TO 'ISO, YMD'",
    "SET LOCAL intervalstyle TO 'postgres'",
    "SET LOCAL timezone TO 'UTC'",
    "SET LOCAL bytea_output TO 'hex'",
    "SET LOCAL extra_float_digits TO 1",
)


async def table_names(conn: SharedConnection | OwnerConnection, schema: SchemaName) -> list[str]:
    """Return the names of all tables of a schema."""
    rows = await conn.fetch(
        """SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = $1 AND c.relkind = 'r' ORDER BY c.relname""",
        schema,
    )
    return [row["relname"] for row in rows]


async def begin_snapshot(conn: OwnerConnection, schema: SchemaName, tables: Sequence[str]) -> None:
    """Stop writers of `tables`, then see them all as of one instant. The first in a transaction."""
    await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    await conn.execute("SET LOCAL lock_timeout TO '" + LOCK_TIMEOUT + "'")
    await settle_values(conn, schema)
    if tables:
        names: LiteralString = ", ".join(quoted(schema) + "." + quoted(name) for name in tables)
        await conn.execute("LOCK TABLE " + names + " IN EXCLUSIVE MODE")


async def settle_values(conn: OwnerConnection, schema: SchemaName) -> None:
    """Enter the schema, and fix how values are written as text."""
    await conn.execute("SET LOCAL search_path TO " + quoted(schema))
    for statement in PLAIN_VALUES:
        await conn.execute(statement)


async def leave(conn: OwnerConnection) -> None:
    """Go back to the search path in which an unnamed schema is an error."""
    await conn.execute("SET LOCAL search_path TO pg_catalog")


async def strangers(conn: OwnerConnection, schema: SchemaName) -> list[str]:
    """Return what a schema holds that an archive cannot keep: views, functions, types, triggers."""
    rows = await conn.fetch(
        """SELECT 'view or partitioned table ' || c.relname AS what FROM pg_class c
           WHERE c.relnamespace = $1::text::regnamespace AND c.relkind IN ('v', 'm', 'f', 'p')
           UNION ALL
           SELECT 'function ' || p.proname FROM pg_proc p
           WHERE p.pronamespace = $1::text::regnamespace AND p.proname <> ALL ($2::text[])
           UNION ALL
           SELECT 'type ' || t.typname FROM pg_type t
           LEFT JOIN pg_class c ON c.oid = t.typrelid
           WHERE t.typnamespace = $1::text::regnamespace
             AND (t.typtype IN ('d', 'e', 'r') OR (t.typtype = 'c' AND c.relkind = 'c'))
           UNION ALL
           SELECT 'trigger ' || g.tgname FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
           WHERE c.relnamespace = $1::text::regnamespace AND NOT g.tgisinternal
           ORDER BY 1""",
        quoted(schema),
        list(OUR_FUNCTIONS),
    )
    return [row["what"] for row in rows]


async def schema_is_there(conn: OwnerConnection, schema: SchemaName) -> bool:
    """Say whether PostgreSQL has a schema of this name, whatever the registry says."""
    return bool(await conn.fetchval("SELECT 1 FROM pg_namespace WHERE nspname = $1", schema))


async def tables(conn: OwnerConnection, schema: SchemaName) -> tuple[Table, ...]:
    """Describe all tables of the schema that was entered."""
    columns = await _columns(conn, schema)
    constraints = await _constraints(conn, schema)
    indexes = await _indexes(conn, schema)
    return tuple(
        Table(name, tuple(columns[name]), tuple(constraints[name]), tuple(indexes[name]))
        for name in await table_names(conn, schema)
    )


async def _columns(conn: OwnerConnection, schema: SchemaName) -> dict[str, list[Column]]:
    rows = await conn.fetch(
        """SELECT c.relname, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
               a.attnotnull AS not_null, pg_get_expr(d.adbin, d.adrelid) AS default,
               a.attgenerated <> '' AS generated, a.attidentity::text AS identity
           FROM pg_class c
           JOIN pg_attribute a ON a.attrelid = c.oid
           LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
           WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r'
             AND a.attnum > 0 AND NOT a.attisdropped
           ORDER BY c.relname, a.attnum""",
        quoted(schema),
    )
    found: defaultdict[str, list[Column]] = defaultdict(list)
    for row in rows:
        values: dict[str, Any] = dict(row)
        found[values.pop("relname")].append(Column(**values))
    return found


async def _constraints(conn: OwnerConnection, schema: SchemaName) -> dict[str, list[Constraint]]:
    # PostgreSQL 18 keeps NOT NULL as a constraint too; ours is written with the column.
    rows = await conn.fetch(
        """SELECT c.relname, k.conname AS name, k.contype::text AS kind,
               pg_get_constraintdef(k.oid) AS definition
           FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
           WHERE k.connamespace = $1::text::regnamespace AND c.relkind = 'r' AND k.contype <> 'n'
           ORDER BY c.relname, k.conname""",
        quoted(schema),
    )
    found: defaultdict[str, list[Constraint]] = defaultdict(list)
    for row in rows:
        found[row["relname"]].append(Constraint(row["name"], row["kind"], row["definition"]))
    return found


async def _indexes(conn: OwnerConnection, schema: SchemaName) -> dict[str, list[str]]:
    rows = await conn.fetch(
        """SELECT c.relname, pg_get_indexdef(i.indexrelid) AS definition
           FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
           LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x')
           WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r' AND k.oid IS NULL
           ORDER BY c.relname, i.indexrelid""",
        quoted(schema),
    )
    found: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        found[row["relname"]].append(row["definition"])
    return found


async def sequences(conn: OwnerConnection, schema: SchemaName) -> tuple[NumberSequence, ...]:
    """Describe all sequences of the schema, and how far each has come."""
    rows = await conn.fetch(
        """SELECT s.relname AS name, pg_sequence_last_value(s.oid::regclass) AS last,
               t.relname AS table, a.attname AS column,
               coalesce(a.attidentity <> '', false) AS identity
           FROM pg_class s
           LEFT JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass
               AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
           LEFT JOIN pg_class t ON t.oid = d.refobjid
           LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
           WHERE s.relnamespace = $1::text::regnamespace AND s.relkind = 'S' ORDER BY s.relname""",
        quoted(schema),
    )
    return tuple(NumberSequence(**row) for row in rows)


async def copy_table_out(
    conn: OwnerConnection, schema: SchemaName, table: Table, output: Output
) -> int:
    """Stream a table's stored columns as CSV; return its number of rows."""
    columns: LiteralString = ", ".join(quoted(name) for name in table.stored)
    source = quoted(schema) + "." + quoted(table.name)
    sql = "SELECT " + columns + " FROM " + source  # noqa: S608 # quoted names, no values
    return await conn.copy_out(sql, output=output)


DUE_COLUMNS = ("tenant", "kind", "subject", "at", "payload")


async def copy_due_out(conn: OwnerConnection, schema: SchemaName, output: Output) -> int:
    """Stream what is scheduled for the tenant: reminders come back with their bookings."""
    return await conn.copy_out(
        """SELECT tenant, kind, subject, at, payload FROM shared.due
           WHERE tenant = $1 ORDER BY kind, subject""",
        schema,
        output=output,
    )


async def copy_due_in(conn: OwnerConnection, source: AsyncIterable[bytes]) -> int:
    """Schedule again what an archive had."""
    return await conn.copy_in("shared", "due", DUE_COLUMNS, source)


async def drop(conn: OwnerConnection, schema: SchemaName) -> None:
    """Drop a tenant's schema with all that is in it, its version and what is scheduled for it."""
    await conn.execute("DROP SCHEMA " + quoted(schema) + " CASCADE")
    await conn.execute("DELETE FROM shared.tenant_versions WHERE schema_name = $1", schema)
    await conn.execute("DELETE FROM shared.due WHERE tenant = $1", schema)


async def create_schema(conn: OwnerConnection, schema: SchemaName) -> None:
    """Create an empty schema."""
    await conn.execute("CREATE SCHEMA " + quoted(schema))


async def empty(conn: OwnerConnection, known: Sequence[Table]) -> None:
    """Delete what migrations put into a new schema."""
    names: LiteralString = ", ".join(quoted(table.name) for table in known)
    await conn.execute("TRUNCATE " + names)


async def make_room(
    conn: OwnerConnection,
    known: Sequence[Table],
    wanted: Sequence[Table],
    numbers: Sequence[NumberSequence],
) -> None:
    """Create the tables, columns and sequences that no migration makes but the archive holds."""
    there = {table.name: {column.name for column in table.columns} for table in known}
    for sequence in numbers:
        if not sequence.identity and sequence.table not in there:
            await conn.execute("CREATE SEQUENCE IF NOT EXISTS " + quoted(sequence.name))
    for table in wanted:
        if table.name not in there:
            await conn.execute(_create_table(table))
        for column in table.columns:
            if table.name in there and column.name not in there[table.name]:
                await conn.execute(
                    "ALTER TABLE " + quoted(table.name) + " ADD COLUMN " + _definition(column)
                )
    for sequence in numbers:
        if not sequence.identity and sequence.table and sequence.column:
            owner = quoted(sequence.table) + "." + quoted(sequence.column)
            await conn.execute("ALTER SEQUENCE " + quoted(sequence.name) + " OWNED BY " + owner)


def _create_table(table: Table) -> LiteralString:
    columns: LiteralString = ", ".join(_definition(column) for column in table.columns)
    return "CREATE TABLE " + quoted(table.name) + " (" + columns + ")"


def _definition(column: Column) -> LiteralString:
    """Write a column's definition; its type and default are texts of the catalog, sealed."""
    text = quoted(column.name) + " " + _sealed(column.type)
    if column.identity:
        kind: LiteralString = "ALWAYS" if column.identity == "a" else "BY DEFAULT"
        text = text + " GENERATED " + kind + " AS IDENTITY"
    elif column.generated and column.default:
        text = text + " GENERATED ALWAYS AS (" + _sealed(column.default) + ") STORED"
    elif column.default:
        text = text + " DEFAULT " + _sealed(column.default)
    return text + " NOT NULL" if column.not_null else text


def _sealed(text: str) -> LiteralString:
    """Take a definition that PostgreSQL wrote and our seal kept as SQL."""
    return cast("LiteralString", text)


async def finish(conn: OwnerConnection, known: Sequence[Table], wanted: Sequence[Table]) -> None:
    """After the rows: constraints, then foreign keys, then indexes of what we did not know."""
    ours = {table.name: table for table in known}
    for late in (False, True):
        for table in wanted:
            there = ours.get(table.name)
            names = {constraint.name for constraint in there.constraints} if there else set[str]()
            for constraint in table.constraints:
                if (constraint.kind == "f") is late and constraint.name not in names:
                    await conn.execute(
                        "ALTER TABLE " + quoted(table.name) + " ADD CONSTRAINT "
                        + quoted(constraint.name) + " " + _sealed(constraint.definition)
                    )  # fmt: skip
    for table in wanted:
        there = ours.get(table.name)
        for index in table.indexes:
            if there is None or index not in there.indexes:
                await conn.execute(_sealed(index))


async def loading_order(
    conn: OwnerConnection, schema: SchemaName, wanted: Sequence[Table]
) -> list[Table]:
    """Return the tables so that each comes after those its rows refer to."""
    rows = await conn.fetch(
        """SELECT c.relname AS child, p.relname AS parent FROM pg_constraint k
           JOIN pg_class c ON c.oid = k.conrelid JOIN pg_class p ON p.oid = k.confrelid
           WHERE k.connamespace = $1::text::regnamespace AND k.contype = 'f'
             AND k.conrelid <> k.confrelid""",
        quoted(schema),
    )
    graph: dict[str, set[str]] = {table.name: set() for table in wanted}
    for row in rows:
        graph.setdefault(row["child"], set()).add(row["parent"])
    by_name = {table.name: table for table in wanted}
    return [by_name[n] for n in TopologicalSorter(graph).static_order() if n in by_name]


async def go_on_counting(conn: OwnerConnection, numbers: Sequence[NumberSequence]) -> None:
    """Let each sequence continue after the last number it gave and the largest that is stored."""
    for sequence in numbers:
        largest = None
        name = sequence.name
        if sequence.table and sequence.column:
            largest = await conn.fetchval(_largest(sequence.table, sequence.column))
            name = await conn.fetchval(
                "SELECT pg_get_serial_sequence($1, $2)", quoted(sequence.table), sequence.column
            )
        last = max((n for n in (largest, sequence.last) if n is not None), default=None)
        if last is not None:
            literal = name if sequence.table else quoted(sequence.name)
            await conn.execute("SELECT setval($1::text::regclass, $2)", literal, last)


def _largest(table: str, column: str) -> LiteralString:
    name = quoted(column)
    return "SELECT max(" + name + ") FROM " + quoted(table)  # noqa: S608 # quoted names, no values


async def remember(
    conn: OwnerConnection, schema: SchemaName, file: str, archived_at: datetime
) -> None:
    """Note in the registry where a tenant's archive is."""
    await conn.execute(
        "INSERT INTO shared.archives (tenant_id, file, archived_at) VALUES ($1, $2, $3)",
        schema,
        file,
        archived_at,
    )


async def last_archive(conn: SharedConnection | OwnerConnection, tenant: str) -> str | None:
    """Return the name of a tenant's newest archive, None when it has none."""
    found = await conn.fetchval(
        "SELECT file FROM shared.archives WHERE tenant_id = $1 ORDER BY id DESC LIMIT 1", tenant
    )
    return cast("str | None", found)


async def mark_restored(conn: OwnerConnection, schema: SchemaName, file: str, at: datetime) -> None:
    """Note that an archive was restored."""
    await conn.execute(
        "UPDATE shared.archives SET restored_at = $3 WHERE tenant_id = $1 AND file = $2",
        schema,
        file,
        at,
    )
