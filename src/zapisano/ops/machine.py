"""The doctor's look at this machine and at settings that a connection cannot prove."""

import asyncio
import os
import shutil
import socket
import tempfile
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from zapisano.errors import BrokenSetting
from zapisano.ops.model import Check, brings_its_own, failed, good, warning
from zapisano.settings import Settings

MIN_SECRET_LENGTH = 32
MIN_DIFFERENT = 12
MIN_TOKEN_LENGTH = 24
# Printed in the guide, so known to everybody.
PUBLIC_TOKENS = {"super_secret_token_123456"}
LITTLE_DISK_BYTES = 1024**3
NO_DISK_BYTES = 100 * 1024**2
PRIVATE_NAMES = ("localhost", ".localhost", ".local", ".internal", ".lan", ".home.arpa")
NEW_SECRET = "python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"  # noqa: S105 # a command

OWN_KEY = "is not set: `zapisano up` has its own, in secrets.json of the data folder (keep a copy)"


SELLER = {
    "operator_requisites": ("ZAPISANO_OPERATOR_REQUISITES", "who sells, with the tax number"),
    "operator_terms": ("ZAPISANO_OPERATOR_TERMS", "a link to the offer"),
    "operator_refunds": ("ZAPISANO_OPERATOR_REFUNDS", "when money is given back"),
    "support_contact": ("ZAPISANO_SUPPORT_CONTACT", "where a buyer can ask"),
}


def _seller(settings: Settings) -> list[Check]:
    """See that a shop says who sells: buyers look for it, and YooKassa asks for it."""
    name, missing = "Seller", [v for k, v in SELLER.items() if not getattr(settings, k)]
    if settings.demo:
        return []
    if not missing:
        return [good(name, "requisites, terms, refunds and a contact are shown at the checkout")]
    return [
        warning(
            name,
            f"the checkout does not say {'; '.join(what for _, what in missing)}",
            f"set {', '.join(variable for variable, _ in missing)}: buyers and YooKassa look for "
            "it before money is paid",
        )
    ]


async def check_machine(settings: Settings) -> list[Check]:
    """Look at the secrets, the folder, the ports, the price list and the address from outside."""
    return [
        _secret_key(settings),
        _master_token(settings),
        _folder(settings),
        *_ports(settings),
        _plans(settings),
        *_seller(settings),
        await _webhook_url(settings),
    ]


def _secret_key(settings: Settings) -> Check:
    name, key = "Secret key", settings.secret_key.get_secret_value()
    remedy = f"put back the one you had; if there was none, the output of: {NEW_SECRET}"
    if not key and brings_its_own(settings):
        return good(name, OWN_KEY)
    if not key:
        return failed(name, "ZAPISANO_SECRET_KEY is not set", remedy)
    if len(key) < MIN_SECRET_LENGTH or len(set(key)) < MIN_DIFFERENT:
        return failed(name, "ZAPISANO_SECRET_KEY can be guessed", remedy)
    return good(name, f"{len(key)} characters")


def _master_token(settings: Settings) -> Check:
    name, token = "Master API", settings.master_api_token.get_secret_value()
    remedy = f"set MASTER_API_TOKEN to the output of: {NEW_SECRET}"
    if not token and brings_its_own(settings):
        return good(name, OWN_KEY)
    if not token:
        return warning(name, "is off: MASTER_API_TOKEN is not set", remedy)
    if token in PUBLIC_TOKENS:
        return failed(name, "MASTER_API_TOKEN is the one printed in the guide", remedy)
    if len(token) < MIN_TOKEN_LENGTH or len(set(token)) < MIN_DIFFERENT:
        return failed(name, "MASTER_API_TOKEN can be guessed", remedy)
    return good(name, "has a token")


def _folder(settings: Settings) -> Check:
    name, folder = "Data folder", settings.data_dir.absolute()
    if not folder.exists():
        return _folder_to_be(name, folder)
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"x")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return failed(
            name,
            f"{folder} cannot be written ({error.strerror})",
            "give ZAPISANO_DATA_DIR a folder that this user may write",
        )
    found = f"{folder}, {free / 1024**3:.1f} GiB free"
    if free < NO_DISK_BYTES:
        return failed(name, found, "free some space: archives and logs are written there")
    if free < LITTLE_DISK_BYTES:
        return warning(name, found, "free some space before it is needed")
    return good(name, found)


def _folder_to_be(name: str, folder: Path) -> Check:
    """Look at a folder that nothing has needed yet; looking does not make it."""
    above = next(parent for parent in folder.parents if parent.exists())
    if above.is_dir() and os.access(above, os.W_OK | os.X_OK):
        return good(name, f"{folder} will be made when it is needed")
    return failed(
        name,
        f"{folder} cannot be made in {above}",
        "give ZAPISANO_DATA_DIR a folder that this user may write",
    )


def _ports(settings: Settings) -> list[Check]:
    """Look for the ports of `zapisano up`, before it runs: later it is there itself."""
    if not brings_its_own(settings):
        return []
    ports = {
        "ZAPISANO_API_PORT": settings.api_port,
        "ZAPISANO_WEBHOOK_PORT": settings.webhook_port,
    }
    taken = [name for name, port in ports.items() if not _is_free(settings.host, port)]
    if taken:
        found = ", ".join(f"{ports[name]} cannot be listened on" for name in taken)
        return [failed("Ports", found, f"stop what holds it, or set another {' and '.join(taken)}")]
    return [good("Ports", f"{' and '.join(map(str, ports.values()))} are free")]


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the servers do: a connection of the last run does not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _plans(settings: Settings) -> Check:
    name = "Price list"
    try:
        plans = settings.plans
    except BrokenSetting as error:
        return failed(name, error.detail, "mend the file, or leave ZAPISANO_PLANS_FILE out")
    if not plans:
        return failed(
            name, f"{settings.plans_file} names no plan", "add one: [1m] name, days, price"
        )
    return good(name, ", ".join(f"{plan.id} {plan.price} ₽" for plan in plans.values()))


async def _webhook_url(settings: Settings) -> Check:
    name, url = "WEBHOOK_URL", settings.webhook_url
    remedy = "set WEBHOOK_URL=https://<your domain>, as YooKassa and Telegram reach it from outside"
    if settings.demo:
        return good(name, f"{url}: the demo's world is on this machine")
    if not url:
        return warning(name, "is not set: nobody can notify us", remedy)
    problem = unreachable(url) or await _private_address(url)
    return failed(name, f"{url} {problem}", remedy) if problem else good(name, url)


def unreachable(url: str) -> str:
    """Say why nobody outside can reach an address, as far as the address alone shows it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return "is not https"
    if parts.path or parts.query or parts.username:
        return "has more than a host"
    if host.endswith(PRIVATE_NAMES) or ("." not in host and ":" not in host):
        return "is known on this network only"
    return ""


async def _private_address(url: str) -> str:
    for address in await _addresses(urlsplit(url).hostname or ""):
        if not ip_address(address).is_global:
            return f"is {address}, a private address"
    return ""


async def _addresses(host: str) -> list[str]:
    """Return what a host's name means here; nothing when this machine cannot tell."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [str(address[4][0]) for address in found]
