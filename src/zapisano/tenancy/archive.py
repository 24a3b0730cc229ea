"""Put a tenant away into one file, and bring it back.

Archiving is one transaction: writers are stopped, all tables are copied as of one instant into a
file that is whole and on the disk, and only then the schema is dropped and the tenant called
archived. Killed anywhere before the commit it has dropped nothing; a file without its row in
`shared.archives` does not count. Restoring is one transaction as well. Both may be repeated.

The file (`<data folder>/archive/<tenant>-<time>.zip`, readable by its owner only) holds personal
data: treat it as you treat a backup.
"""

import asyncio
import hashlib
import os
import re
import secrets
import zipfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, ClassVar

from zapisano import journal
from zapisano.db import Database, OwnerConnection, roles
from zapisano.db.chains import FOLDER, knows
from zapisano.db.migrate import guard_schema, migrate_tenant, version_of
from zapisano.db.names import SchemaName, tenant_schema
from zapisano.errors import AppError, Busy, Conflict, NotFound, Refused
from zapisano.jobs import enqueue
from zapisano.settings import Settings
from zapisano.tenancy import export, store
from zapisano.tenancy.jobs import ForgetKeys, TenantChanged
from zapisano.tenancy.manifest import (
    FORMAT,
    BrokenArchive,
    Content,
    Manifest,
    check_seal,
    from_bytes,
    seal,
    to_bytes,
)
from zapisano.tenancy.model import State, Suspension, Tenant, TenantId, WrongState

MANIFEST, SEAL, DUE = "manifest.json", "manifest.seal", "due.csv"
CHUNK_BYTES = 256 * 1024
FILE_NAME = re.compile(r"client_[0-9]{3,9}-[0-9]{8}T[0-9]{6}\.[0-9]{6}Z\.zip")


class DiskTrouble(AppError):
    """The data folder takes no more; nothing was dropped."""

    code: ClassVar[str] = "disk_trouble"
    status: ClassVar[int] = 507
    text: ClassVar[str] = "The archive could not be written; nothing was dropped."


def archive_folder(settings: Settings) -> Path:
    """Return the folder that holds the archives of this installation."""
    return settings.data_dir / "archive"


async def archive(
    database: Database,
    settings: Settings,
    tenant_id: str,
    *,
    now: datetime,
    only_for: Suspension | None = None,
    by: str = "operator",
) -> Path:
    """Export a tenant into a file and drop its schema. Repeating returns the file there is.

    With `only_for` nothing is done to a tenant that is not suspended for that. `by` is who does it.

    Raises:
        UnknownTenant: there is no such tenant.
        WrongState: it is still being provisioned, or not suspended for `only_for`.
        Refused: its schema holds what a file cannot keep (a view, a function, a type).
        DiskTrouble: the file could not be written.
        Busy: somebody is working in the schema; worth repeating.
    """
    schema = tenant_schema(tenant_id)
    settings.require("secret_key")
    async with database.owner() as guard:
        await guard_schema(guard, schema)
        tenant = await store.get(guard, schema)
        if tenant.state is State.PROVISIONING:
            raise WrongState(f"{schema} is still being provisioned and cannot be archived.")
        if tenant.state is State.ARCHIVED:
            return await _newest(guard, settings, tenant.id)
        tables = await export.table_names(guard, schema)
        async with database.owner() as conn:
            await export.begin_snapshot(conn, schema, tables)
            tenant = await store.get(conn, schema, lock=True)
            if only_for is not None and tenant.suspended_for is not only_for:
                raise WrongState(f"{schema} is not suspended as {only_for} and stays.")
            return await _archive(conn, database, settings, tenant, tables, now, by)


async def _archive(
    conn: OwnerConnection,
    database: Database,
    settings: Settings,
    tenant: Tenant,
    locked: list[str],
    now: datetime,
    by: str,
) -> Path:
    schema = tenant_schema(tenant.id)
    if await export.table_names(conn, schema) != locked:
        raise Busy(f"The tables of {schema} are being changed, please try again.")
    if strangers := await export.strangers(conn, schema):
        raise Refused(f"{schema} holds what an archive cannot keep: {', '.join(strangers)}.")
    path = archive_folder(settings) / f"{schema}-{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}.zip"
    rows = await _write(conn, settings, tenant, schema, path, now)
    try:
        await _put_away(conn, database, settings, tenant, path.name, now)
        done = {"before": tenant.state, "after": State.ARCHIVED, "rows": rows}
        await journal.record(conn, "tenant.archived", tenant.id, tenant=tenant.id, by=by, **done)
    except BaseException:  # raised again; a cancellation too
        # Nothing is dropped, so this file counts as none; it must not stay, full of personal data.
        path.unlink(missing_ok=True)
        raise
    return path


async def _put_away(
    conn: OwnerConnection,
    database: Database,
    settings: Settings,
    tenant: Tenant,
    file: str,
    now: datetime,
) -> None:
    schema = tenant_schema(tenant.id)
    await export.leave(conn)
    await export.drop(conn, schema)
    await roles.drop_tenant_role(conn, database.name, schema)
    await export.remember(conn, schema, file, now)
    await store.set_state(conn, tenant.id, State.ARCHIVED)
    await enqueue(conn, TenantChanged(tenant.id, State.ARCHIVED))
    if settings.redis:
        await enqueue(conn, ForgetKeys(tenant.id))


async def _write(
    conn: OwnerConnection,
    settings: Settings,
    tenant: Tenant,
    schema: SchemaName,
    path: Path,
    now: datetime,
) -> int:
    """Write the whole file beside its place, then move it there; return how many rows it has."""
    half_written = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _forget_half_written(path.parent, schema)
        _refuse_to_replace(path)
        with _new_private(half_written) as file:
            rows = await _fill(conn, settings, tenant, schema, file, now)
            await asyncio.to_thread(_flush, file)
        half_written.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise DiskTrouble(
            f"The archive of {schema} could not be written ({error.strerror}); nothing was "
            f"dropped. Free some space in ZAPISANO_DATA_DIR ({settings.data_dir}) and try again."
        ) from error
    finally:
        half_written.unlink(missing_ok=True)
    return rows


async def _fill(
    conn: OwnerConnection,
    settings: Settings,
    tenant: Tenant,
    schema: SchemaName,
    file: IO[bytes],
    now: datetime,
) -> int:
    tables = await export.tables(conn, schema)
    version = await version_of(conn, schema)
    if version is None:
        raise WrongState(f"{schema} has no schema version in the registry: zapisano doctor")
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as book:
        contents: list[Content] = []
        for table in tables:
            async with _Entry(book, f"{table.name}.csv").open() as entry:
                entry.rows = await export.copy_table_out(conn, schema, table, entry.write)
            contents.append(entry.content())
        async with _Entry(book, f"shared/{DUE}").open() as entry:
            entry.rows = await export.copy_due_out(conn, schema, entry.write)
        contents.append(entry.content())
        data = to_bytes(
            Manifest(
                format=FORMAT,
                tenant=schema,
                name=tenant.name,
                state=tenant.state,
                suspended_for=tenant.suspended_for,
                version=version,
                made_at=now,
                tables=tables,
                sequences=await export.sequences(conn, schema),
                contents=tuple(contents),
            )
        )
        book.writestr(MANIFEST, data)
        book.writestr(SEAL, seal(settings, data))
    return sum(content.rows for content in contents)


class _Entry:
    """One file inside the archive while it is being written."""

    def __init__(self, book: zipfile.ZipFile, name: str) -> None:
        self._book = book
        self._name = name
        self._digest = hashlib.sha256()
        self.rows = 0

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["_Entry"]:
        with self._book.open(self._name, "w", force_zip64=True) as self._file:
            yield self

    async def write(self, data: bytes) -> None:
        self._digest.update(data)
        await asyncio.to_thread(self._file.write, data)

    def content(self) -> Content:
        return Content(self._name, self.rows, self._digest.hexdigest())


def _refuse_to_replace(path: Path) -> None:
    if path.exists():
        raise Conflict(f"The archive {path.name} is there already.")


def _new_private(path: Path) -> IO[bytes]:
    """Create a file that nobody else may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _flush(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Make a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _forget_half_written(folder: Path, schema: SchemaName) -> None:
    """Delete what a killed process left; nobody else writes this tenant's, we hold its guard."""
    for left in folder.glob(f".{schema}-*.part"):
        left.unlink(missing_ok=True)


async def restore(
    database: Database,
    settings: Settings,
    tenant_id: str,
    *,
    now: datetime,
    file: Path | None = None,
    chains: Path = FOLDER,
) -> Tenant:
    """Bring an archived tenant back from `file`, or from its newest archive, at today's version.

    `chains` is the folder of the migrations that lead there.

    Raises:
        WrongState: the tenant is not archived.
        NotFound: the file is not there.
        BrokenArchive: the file is not whole, not ours, or not this tenant's.
        Refused: it was made by a newer program.
    """
    schema = tenant_schema(tenant_id)
    async with database.owner() as conn:
        await guard_schema(conn, schema)
        tenant = await store.get(conn, schema, lock=True)
        if tenant.state is not State.ARCHIVED:
            raise WrongState(f"{schema} is {tenant.state}; only an archived tenant is restored.")
        if await export.schema_is_there(conn, schema):
            raise Conflict(f"There is a schema {schema} already: rename or drop it first.")
        path = file or await _newest(conn, settings, tenant.id)
        with _opened(path) as book:
            manifest = await asyncio.to_thread(_checked, book, settings, schema)
            _refuse_newer(manifest, chains)
            rows = await _load(conn, book, schema, manifest, chains)
        await roles.create_tenant_role(conn, database.name, schema)
        await export.mark_restored(conn, schema, path.name, now)
        await _go_on(conn, tenant.id, manifest)
        restored = await store.get(conn, schema)
        done = {"before": tenant.state, "after": restored.state, "rows": rows}
        await journal.record(conn, "tenant.restored", schema, tenant=schema, by="operator", **done)
        return restored


async def _go_on(conn: OwnerConnection, tenant: TenantId, manifest: Manifest) -> None:
    """Put a tenant back into the state in which it was archived."""
    state = manifest.state
    if state is State.ACTIVE and not await store.has_bot(conn, tenant):
        state = State.AWAITING_BOT  # its bot works for another business of the owner by now
    await store.set_state(conn, tenant, state, manifest.suspended_for)
    await enqueue(conn, TenantChanged(tenant, state, restored=True))


async def _newest(conn: OwnerConnection, settings: Settings, tenant: TenantId) -> Path:
    name = await export.last_archive(conn, tenant)
    if name is None:
        raise NotFound(f"No archive of {tenant} is known.")
    return archive_path(settings, name)


def archive_path(settings: Settings, name: str) -> Path:
    """Return where an archive lies.

    Raises:
        Refused: `name` does not look like the name of an archive.
    """
    if not FILE_NAME.fullmatch(name):
        raise Refused(f"file: {name!r} is no name of an archive")
    return archive_folder(settings) / name


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise NotFound(f"The archive {path} is not there.") from error
    except (zipfile.BadZipFile, OSError) as error:
        raise BrokenArchive(f"The archive {path} cannot be read.") from error


def _checked(book: zipfile.ZipFile, settings: Settings, schema: SchemaName) -> Manifest:
    """Read the manifest, and everything else once to see that it is whole."""
    try:
        data = book.read(MANIFEST)
        check_seal(settings, data, book.read(SEAL))
        manifest = from_bytes(data)
        for content in manifest.contents:
            if _digest(book, content.file) != content.sha256:
                raise BrokenArchive(f"{content.file} in the archive was altered.")
    except (KeyError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise BrokenArchive(f"The archive is not whole: {error}") from error
    if manifest.tenant != schema:
        raise BrokenArchive(f"This is the archive of {manifest.tenant}, not of {schema}.")
    return manifest


def _refuse_newer(manifest: Manifest, chains: Path) -> None:
    if not knows("tenant", manifest.version, chains):
        raise Refused(f"The archive is at version {manifest.version}: upgrade Zapisano first.")


def _digest(book: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with book.open(name) as entry:
        while chunk := entry.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


async def _load(
    conn: OwnerConnection,
    book: zipfile.ZipFile,
    schema: SchemaName,
    manifest: Manifest,
    chains: Path,
) -> int:
    await export.create_schema(conn, schema)
    await migrate_tenant(conn, schema, None, end=manifest.version, folder=chains)
    await export.settle_values(conn, schema)
    known = await export.tables(conn, schema)
    await export.empty(conn, known)
    await export.make_room(conn, known, manifest.tables, manifest.sequences)
    rows = 0
    for table in await export.loading_order(conn, schema, manifest.tables):
        content = manifest.content(f"{table.name}.csv")
        rows += await conn.copy_in(schema, table.name, table.stored, _read(book, content.file))
    await export.finish(conn, known, manifest.tables)
    await export.go_on_counting(conn, manifest.sequences)
    rows += await export.copy_due_in(conn, _read(book, f"shared/{DUE}"))
    await export.leave(conn)
    await migrate_tenant(conn, schema, manifest.version, folder=chains)
    if rows != sum(content.rows for content in manifest.contents):
        raise BrokenArchive("The archive gave other rows than its manifest counts.")
    return rows


async def _read(book: zipfile.ZipFile, name: str) -> AsyncGenerator[bytes]:
    with book.open(name) as entry:
        while chunk := await asyncio.to_thread(entry.read, CHUNK_BYTES):
            yield chunk
