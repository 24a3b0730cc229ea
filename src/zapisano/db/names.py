"""Names of schemas and roles, and the one place where a name becomes SQL."""

import hashlib
import re
from typing import LiteralString, NewType, cast

from zapisano.errors import Refused

SchemaName = NewType("SchemaName", str)
RoleName = NewType("RoleName", str)

SHARED = SchemaName("shared")
TENANT_GROUP = RoleName("booking_tenant")
APP_ROLE = RoleName("booking_app")

MAX_IDENTIFIER_BYTES = 63  # PostgreSQL cuts longer names silently (NAMEDATALEN - 1)
TENANT_SCHEMA = re.compile(r"client_[0-9]{3,9}")


def tenant_schema(name: str) -> SchemaName:
    """Return `name` as a tenant's schema.

    Raises:
        Refused: it is not `client_` and three to nine digits.
    """
    if not TENANT_SCHEMA.fullmatch(name):
        raise Refused(f"tenant: {name!r} is no tenant id; it looks like client_001")
    return SchemaName(name)


def tenant_role(database: str, schema: SchemaName) -> RoleName:
    """Name the role of a tenant. Roles belong to the whole cluster, so the database is in it."""
    name = f"{database}_{schema}"
    if len(name.encode()) > MAX_IDENTIFIER_BYTES:
        name = f"zapisano_{hashlib.sha256(database.encode()).hexdigest()[:16]}_{schema}"
    return RoleName(name)


def quoted(name: str) -> LiteralString:
    """Quote an identifier. The only way from a value to SQL text; everything else is a `$1`."""
    if not name or "\0" in name:
        raise Refused("an identifier cannot be empty or hold a NUL")
    return cast("LiteralString", '"' + name.replace('"', '""') + '"')


def quoted_literal(value: str) -> LiteralString:
    """Quote a text for statements that take no arguments (`CREATE ROLE … PASSWORD`)."""
    if "\0" in value or "\\" in value:
        raise Refused("a literal here cannot hold a NUL or a backslash")
    return cast("LiteralString", "'" + value.replace("'", "''") + "'")
