"""`python -m bench`: figures of this machine, each beside a baseline of the same run."""

import argparse
import logging
from collections.abc import Sequence

import uvloop

from bench import cluster, tenants
from bench.credits import POSTINGS, deduction_figures
from bench.figures import show
from bench.payments import acknowledgements, readiness
from bench.updates import updates
from zapisano.telemetry import configure_logging

PARTS = ("credits", "payments", "tenants")


async def run(parts: Sequence[str], count: int, postings: int) -> None:
    """Measure everything that is asked for, on one server, in one run."""
    with cluster.superuser() as admin_dsn:
        async with cluster.database(admin_dsn) as settings:
            if "credits" in parts:
                async for figures in deduction_figures(settings, admin_dsn, postings):
                    show("Credits", figures)
            if "payments" in parts:
                show("Acknowledgements", await acknowledgements(settings))
                async with cluster.database(admin_dsn) as fresh:  # no queue left behind
                    show("Paid to ready", await readiness(fresh))
            if "tenants" not in parts:
                return
            async for made, figures in tenants.provisioning(settings, count):
                show("Provisioning", figures)
                show("Role switch", await tenants.role_switch(settings, made))
            show("Pool", await tenants.pool(settings, admin_dsn, count))
            show("Updates", await updates(settings))


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--tenants", type=int, default=1000, metavar="N", help="how many, 1000")
    parser.add_argument(
        "--postings", type=int, default=POSTINGS, metavar="N", help="how many, 5,000,000"
    )
    parser.add_argument("--only", choices=PARTS, help="one part, instead of all")
    arguments = parser.parse_args()
    if arguments.tenants < 1:
        parser.error("--tenants: at least 1")
    if arguments.postings < 2:
        parser.error("--postings: at least 2")
    parts = (arguments.only,) if arguments.only else PARTS
    configure_logging(as_json=False, level=logging.WARNING)
    uvloop.run(run(parts, arguments.tenants, arguments.postings))


if __name__ == "__main__":
    main()
