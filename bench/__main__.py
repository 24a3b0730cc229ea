"""`python -m bench`: figures of this machine, each beside a baseline of the same run."""

import argparse
import asyncio
import logging

from bench import cluster, tenants
from bench.figures import show
from bench.updates import updates
from zapisano.telemetry import configure_logging


async def run(count: int) -> None:
    """Measure everything, on one server, in one run."""
    with cluster.superuser() as admin_dsn:
        async with cluster.database(admin_dsn) as settings:
            async for made, figures in tenants.provisioning(settings, count):
                show("Provisioning", figures)
                show("Role switch", await tenants.role_switch(settings, made))
            show("Pool", await tenants.pool(settings, admin_dsn, count))
            show("Updates", await updates(settings))


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--tenants", type=int, default=1000, metavar="N", help="how many, 1000")
    arguments = parser.parse_args()
    if arguments.tenants < 1:
        parser.error("--tenants: at least 1")
    configure_logging(as_json=False, level=logging.WARNING)
    asyncio.run(run(arguments.tenants))


if __name__ == "__main__":
    main()
