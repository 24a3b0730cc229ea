"""`python -m zapisano.simulator`: the outside world on one loopback port."""

import os
import socket
from collections.abc import Sequence

import uvicorn

from zapisano.simulator import pages, telegram, yookassa
from zapisano.simulator.app import create_app
from zapisano.simulator.config import Config
from zapisano.simulator.part import Part

STOP_SECONDS = 1
"""How long a stopping server waits for answers under way."""


class Server(uvicorn.Server):
    """A server that tells its supervisor when it answers (systemd's readiness protocol)."""

    def __init__(self, config: uvicorn.Config, parts: Sequence[Part]) -> None:
        super().__init__(config)
        self.parts = parts

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say READY=1 where somebody listens."""
        await super().startup(sockets)
        address = os.environ.get("NOTIFY_SOCKET")
        if address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.sendto(b"READY=1", address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the endless answers first, or the server would wait for them."""
        for part in self.parts:
            part.stop()
        await super().shutdown(sockets)


def main() -> None:
    """Serve until told to stop."""
    config = Config.from_environment()
    parts: list[Part] = [telegram.create(config), yookassa.create(config), pages.create(config)]
    settings = uvicorn.Config(
        create_app(parts),
        host="127.0.0.1",
        port=config.port,
        log_level="warning",
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    Server(settings, parts).run()


if __name__ == "__main__":
    main()
