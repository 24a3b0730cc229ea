"""`python -m zapisano.simulator`: the outside world on one loopback port."""

import os
import socket

import uvicorn

from zapisano.simulator import yookassa
from zapisano.simulator.app import create_app
from zapisano.simulator.config import Config
from zapisano.simulator.part import Part


class Server(uvicorn.Server):
    """A server that tells its supervisor when it answers (systemd's readiness protocol)."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say READY=1 where somebody listens."""
        await super().startup(sockets)
        address = os.environ.get("NOTIFY_SOCKET")
        if address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.sendto(b"READY=1", address)


def main() -> None:
    """Serve until told to stop."""
    config = Config.from_environment()
    parts: list[Part] = [yookassa.create(config)]
    app = create_app(parts)
    Server(uvicorn.Config(app, host="127.0.0.1", port=config.port, log_level="warning")).run()


if __name__ == "__main__":
    main()
