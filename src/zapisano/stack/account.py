"""The unprivileged account that PostgreSQL runs as when the stack is started by root.

PostgreSQL refuses to run as root. Nobody's folders are opened for it: where the account can't
reach the data folder or the programs (a project under /root, say, which is closed to others),
both get a place of their own under `/var/lib/zapisano`, and the data folder keeps a pointer.
"""

import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from zapisano.stack import binaries
from zapisano.stack.files import write_private
from zapisano.stack.refusal import Refusal

CANDIDATES = ("zapisano", "postgres", "nobody", "daemon")
ELSEWHERE = tuple(Path(home) / "zapisano" for home in ("/var/lib", "/var/opt", "/srv"))


@dataclass(frozen=True)
class Account:
    """Whom a server runs as."""

    name: str
    uid: int
    gid: int

    def can(self, test: str, path: Path) -> bool:
        """Ask the kernel as this account, by `test(1)`: `-x` walk or run, `-w` write."""
        asked = subprocess.run(  # noqa: S603 - a fixed program; the path is an argument, not a script
            ["/bin/sh", "-c", f'test {test} "$1"', "sh", str(path)],
            user=self.uid,
            group=self.gid,
            extra_groups=[],
            cwd="/",
            check=False,
        )
        return asked.returncode == 0


def unprivileged() -> Account | None:
    """The account to run PostgreSQL as; None when we are not root and it runs as we do.

    Raises:
        Refusal: root, on a machine with no such account, or one that may not change accounts.
    """
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, found.pw_uid, found.pw_gid)
    raise Refusal(f"PostgreSQL can't run as root; create a user, for instance {CANDIDATES[0]!r}")


def owner_of(cluster: Path) -> Account | None:
    """The account that an existing cluster belongs to: it stays with it when others appear."""
    if os.geteuid() != 0 or not cluster.exists():
        return None
    stat = cluster.stat()
    if stat.st_uid == 0:
        return None
    return Account(str(stat.st_uid), stat.st_uid, stat.st_gid)


def home(folder: Path, account: Account | None) -> Path:
    """PostgreSQL's own folder, made if needed: `<data>/postgres`, or a place the account reaches.

    Raises:
        Refusal: the pointer in the data folder leads nowhere, or there is no place for it.
    """
    pointer = folder / "postgres.where"
    if pointer.exists():
        place = Path(pointer.read_text().strip())
        if not place.is_dir():
            raise Refusal(f"ZAPISANO_DATA_DIR: the database of {folder} was in {place}: not there")
        return place
    place = folder / "postgres"
    if account is not None and not account.can("-x", folder):
        if (place / "data").exists():
            raise Refusal(f"ZAPISANO_DATA_DIR: user {account.name} can't walk to {place} any more")
        place = _elsewhere() / f"{folder.parent.name.strip('.') or 'data'}-{secrets.token_hex(4)}"
        _make_own(place, account)
        write_private(pointer, f"{place}\n")
    else:
        _make_own(place, account)
    return place


def _make_own(place: Path, account: Account | None) -> None:
    place.mkdir(mode=0o700, exist_ok=True)
    if account is not None and place.stat().st_uid == 0:
        os.chown(place, account.uid, account.gid)


def _elsewhere() -> Path:
    for place in ELSEWHERE:
        if place.parent.is_dir() and os.access(place.parent, os.W_OK):
            if not place.exists():
                place.mkdir()
                place.chmod(0o711)
            return place
    raise Refusal(
        "ZAPISANO_DATA_DIR: PostgreSQL can't run as root, and its account can't reach this folder; "
        "name one that every user can walk to"
    )


def programs(account: Account | None) -> Path:
    """The folder of PostgreSQL's programs that the account may run.

    An unreachable installation is copied once per version (hard links where the disk allows).
    """
    package = binaries.postgres_package()
    own = binaries.postgres_programs(package)
    if account is None or account.can("-x", own / "postgres"):
        return own
    copy = _elsewhere() / f"postgresql-{binaries.postgres_version()}"
    if not copy.exists():
        _copy(package, copy)
    return binaries.postgres_programs(copy / package.name)


def _copy(package: Path, target: Path) -> None:
    fresh = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    fresh.mkdir(mode=0o755)
    # The programs look for their libraries by a path relative to themselves, out of the package.
    for part in (package / "pginstall", package.with_name(f"{package.name}.libs")):
        if part.exists():
            inside = fresh / part.relative_to(package.parent)
            shutil.copytree(part, inside, symlinks=True, copy_function=_link_or_copy)
    for folder in (fresh, *fresh.rglob("*")):
        if folder.is_dir():
            folder.chmod(0o755)
    fresh.rename(target)


def _link_or_copy(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
