"""Which errors say that a connection was lost."""

import errno

import asyncpg
import pytest

from zapisano.db import connection_is_lost


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(),
        TimeoutError(),
        OSError(errno.EHOSTUNREACH, "No route to host"),
        asyncpg.ConnectionDoesNotExistError("connection was closed"),
        asyncpg.AdminShutdownError("terminating"),
        asyncpg.DiskFullError("No space left on device"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.InterfaceError("cannot perform operation: connection is closed"),
    ],
)
def test_a_lost_connection(error: Exception) -> None:
    assert connection_is_lost(error)


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file"),
        PermissionError(errno.EACCES, "Permission denied"),
        asyncpg.InterfaceError("the server expects 2 arguments for this query, 1 was passed"),
        asyncpg.DataError("invalid input for query argument $1"),
        asyncpg.UndefinedColumnError("no such column"),
    ],
)
def test_a_bug_that_looks_like_one(error: Exception) -> None:
    assert not connection_is_lost(error)
