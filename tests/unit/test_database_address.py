"""Which addresses of a database can be read, before anything is asked there."""

import traceback

import pytest

from zapisano.db.pool import check_address
from zapisano.errors import BrokenSetting


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://user:password@host:5432/database",
        "postgres://user:password@[::1]:5432/database?sslmode=require&channel_binding=require",
        "postgresql://user:password@one:5432,two/database",
        "postgresql://user:password@/database?host=/run/postgresql",
        "postgresql:///database",
    ],
)
def test_what_the_driver_reads_is_let_through(address: str) -> None:
    check_address("DATABASE_URL", address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1:5432/app",
        "mysql://user:secret@host/database",
        "postgres over there",
        "postgresql://user:secret@host:port/database",
        "postgresql://user:secret@[::1/database",
        "postgresql://user:secret#more@host/database",
        "postgresql://user:p@host:secret/database",
        "postgresql://user:p@se:secret@host/database",
        "postgresql://user:p@secret@host/database",
    ],
)
def test_what_it_cannot_read_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(BrokenSetting, match=r"^APP_DATABASE_URL: cannot be read; write ") as caught:
        check_address("APP_DATABASE_URL", address)
    assert "secret" not in "".join(traceback.format_exception(caught.value))
