"""What an archive of a tenant holds: its manifest, and the seal that shows it is ours.

A manifest carries definitions of tables that no migration of ours knows, and restoring runs them
as the tables' owner. So it is sealed with a key derived from the secret key: an archive that was
altered, or made by another installation, is refused.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import TypeAdapter, ValidationError

from zapisano.errors import Refused
from zapisano.settings import Settings
from zapisano.tenancy.model import State, Suspension

FORMAT = 1


class BrokenArchive(Refused):
    """The file is not a whole archive made by this installation."""

    code, text = "broken_archive", "This file is no archive of this installation."


@dataclass(frozen=True)
class Column:
    """A column as the catalog describes it. `identity` is '', 'a' (always) or 'd' (default)."""

    name: str
    type: str
    not_null: bool
    default: str | None
    generated: bool
    identity: str


@dataclass(frozen=True)
class Constraint:
    """A constraint's name and definition; `kind` is the catalog's letter, 'f' a foreign key."""

    name: str
    kind: str
    definition: str


@dataclass(frozen=True)
class Table:
    """The shape of one table."""

    name: str
    columns: tuple[Column, ...]
    constraints: tuple[Constraint, ...]
    indexes: tuple[str, ...]

    @property
    def stored(self) -> tuple[str, ...]:
        """The columns that are written down; generated ones are made anew."""
        return tuple(column.name for column in self.columns if not column.generated)


@dataclass(frozen=True)
class Sequence:
    """A sequence, the last number it gave (None: none yet), and the column it belongs to."""

    name: str
    last: int | None
    table: str | None
    column: str | None
    identity: bool


@dataclass(frozen=True)
class Content:
    """One file inside the archive."""

    file: str
    rows: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """Everything but the rows."""

    format: int
    tenant: str
    name: str
    state: State
    suspended_for: Suspension | None
    version: str
    made_at: datetime
    tables: tuple[Table, ...]
    sequences: tuple[Sequence, ...]
    contents: tuple[Content, ...]

    def content(self, file: str) -> Content:
        """Return what the manifest says of a file inside the archive."""
        for content in self.contents:
            if content.file == file:
                return content
        raise BrokenArchive(f"The archive's manifest does not name {file}.")


_ADAPTER = TypeAdapter(Manifest)


def to_bytes(manifest: Manifest) -> bytes:
    """Write a manifest as JSON."""
    return _ADAPTER.dump_json(manifest, indent=1)


def from_bytes(data: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        BrokenArchive: it is none, or one of a format that this program does not know.
    """
    try:
        manifest = _ADAPTER.validate_json(data)
    except ValidationError as error:
        raise BrokenArchive("The archive's manifest cannot be read.") from error
    if manifest.format != FORMAT:
        raise BrokenArchive(f"The archive has format {manifest.format}; known is {FORMAT}.")
    return manifest


def seal(settings: Settings, data: bytes) -> bytes:
    """Return the keyed digest of a manifest, as hexadecimal text."""
    settings.require("secret_key")
    secret = settings.secret_key.get_secret_value().encode()
    key = HKDF(SHA256(), 32, salt=None, info=b"zapisano archive").derive(secret)
    return hmac.new(key, data, hashlib.sha256).hexdigest().encode()


def check_seal(settings: Settings, data: bytes, given: bytes) -> None:
    """Refuse a manifest that was not sealed with this installation's secret key."""
    if not hmac.compare_digest(seal(settings, data), given):
        raise BrokenArchive(
            "The archive was altered, or made under another ZAPISANO_SECRET_KEY; nothing was done."
        )
