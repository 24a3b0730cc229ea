"""Serve apps on sockets that were bound beforehand: one process, any number of apps, one drain."""

import asyncio
import gc
import logging
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from zapisano.errors import BrokenSetting
from zapisano.telemetry import tell_supervisor

DRAIN_SECONDS = 10
BACKLOG = 512
# New objects before the collector looks for cycles, and its rounds before it looks at older ones.
COLLECT_AFTER = (10_000, 20, 20)
# Uvicorn's own way of writing, as the guide prints it: `INFO:     Uvicorn running on …`.
LINES: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "lines": {"()": "uvicorn.logging.DefaultFormatter", "fmt": "%(levelprefix)s %(message)s"}
    },
    "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines"}},
    "loggers": {"uvicorn": {"handlers": ["lines"], "level": "INFO", "propagate": False}},
}

log = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class Site:
    """An app, where it listens, and what lets its endless answers (event streams) go."""

    app: ASGIApp
    listener: socket.socket
    before_stop: Callable[[], None] | None = None


def bind(host: str, port: int, setting: str) -> socket.socket:
    """Take a port.

    Raises:
        BrokenSetting: it is taken, or not ours to take; the line names `setting`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        if isinstance(error, socket.gaierror):
            raise BrokenSetting(f"ZAPISANO_HOST: {host} is no address of this machine") from error
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BrokenSetting(
            f"{setting}: cannot listen on {host}:{port} ({reason}); choose another port, "
            "or stop what holds this one"
        ) from error
    listener.setblocking(False)
    return listener


class _Server(uvicorn.Server):
    """A server that leaves signals to `serve`: with two of them each would stop only itself."""

    def __init__(self, site: Site, log_config: dict[str, Any] | None, ready: Callable[[], None]):
        host, port = site.listener.getsockname()[:2]
        super().__init__(
            uvicorn.Config(
                site.app,
                host=host,
                port=port,
                log_config=log_config,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=DRAIN_SECONDS,
                ws="none",
            )
        )
        self._site = site
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        log.info("Uvicorn running on http://%s:%d", self.config.host, self.config.port)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._site.before_stop:
            self._site.before_stop()
        await super().shutdown(sockets)


async def serve(sites: Sequence[Site], *, plain_lines: bool) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is being answered; a second one hurries.

    With `plain_lines` the server says what it does as uvicorn does, else through our log.
    """
    waiting = len(sites)

    def ready() -> None:
        nonlocal waiting
        waiting -= 1
        if waiting == 0:
            tell_supervisor("READY=1")

    servers = [_Server(site, LINES if plain_lines else None, ready) for site in sites]

    def stop() -> None:
        tell_supervisor("STOPPING=1")
        for server in servers:
            server.force_exit = server.should_exit
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    _collect_seldom()
    async with asyncio.TaskGroup() as tasks:
        for server, site in zip(servers, sites, strict=True):
            tasks.create_task(server.serve(sockets=[site.listener]))


def _collect_seldom() -> None:
    """Leave alone what was made at the start, and let more come together before collecting.

    A request makes hundreds of objects and hardly a cycle: as Python begins (700, 10, 10), looking
    for them took a fifth of a charge.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
