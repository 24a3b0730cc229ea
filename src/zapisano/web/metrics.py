"""`GET /metrics`: this process's own counters, and what the tables say for all processes.

What the job process does is read from the tables, so that one scrape of any app sees it, and a
restart forgets nothing.
"""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from zapisano.db import CONNECTION_LOST
from zapisano.errors import Busy
from zapisano.jobs import store as queue
from zapisano.payments import store as money
from zapisano.payments.inbox import HANDLING_KINDS
from zapisano.payments.model import FORGED, MISMATCH, Figures
from zapisano.telemetry import get_logger
from zapisano.web.state import state_of

log = get_logger("zapisano.web")
router = APIRouter(include_in_schema=False)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Answer in Prometheus' text format; without a database only the process's own are there."""
    tables = CollectorRegistry()
    up = Gauge("zapisano_database_up", "1: the tables could be read.", registry=tables)
    try:
        async with state_of(request).database.shared() as conn:
            figures = await money.figures(conn)
            dead = await money.count_dead(conn, HANDLING_KINDS)
            waiting = await queue.waiting(conn)
            held = await queue.held(conn)
            oldest = await queue.oldest_waiting_seconds(conn)
    except (Busy, *CONNECTION_LOST) as error:
        log.warning("metrics_without_database", reason=type(error).__name__)
    else:
        up.set(1)
        _money(tables, figures)
        _trouble(tables, figures, dead)
        _queue(tables, waiting, held, oldest)
    return Response(
        generate_latest(REGISTRY) + generate_latest(tables), media_type=CONTENT_TYPE_LATEST
    )


def _money(tables: CollectorRegistry, figures: Figures) -> None:
    orders = Gauge("zapisano_orders", "Orders by status.", ["status"], registry=tables)
    for status, count in figures.orders.items():
        orders.labels(status).set(count)
    settled = Gauge(
        "zapisano_settled_orders",
        "Final orders by who brought the news; the poller's share are lost notifications.",
        ["status", "via"],
        registry=tables,
    )
    for (status, via), count in figures.settled.items():
        settled.labels(status, via).set(count)
    total = sum(figures.settled.values())
    polled = sum(count for (_, via), count in figures.settled.items() if via == "poller")
    Gauge("zapisano_settled_by_poller_share", "0 to 1: lost notifications.", registry=tables).set(
        polled / total if total else 0
    )
    reviews = Gauge(
        "zapisano_open_reviews", "Payments before a person.", ["reason"], registry=tables
    )
    for reason, count in figures.open_reviews.items():
        reviews.labels(reason).set(count)
    Gauge(
        "zapisano_reconciliation_difference",
        "What the daily sweep has found to differ from the provider, and is open. Must be 0.",
        registry=tables,
    ).set(figures.differences)
    Gauge(
        "zapisano_last_reconciliation_timestamp_seconds",
        "Unix time of the last daily sweep that could compare everything; 0: never.",
        registry=tables,
    ).set(figures.reconciled_at)
    Gauge("zapisano_oldest_unhandled_notification_seconds", "0: none waits.", registry=tables).set(
        figures.oldest_unhandled_seconds
    )
    Gauge("zapisano_oldest_paid_not_provisioned_seconds", "0: none waits.", registry=tables).set(
        figures.oldest_unprovisioned_seconds
    )


def _trouble(tables: CollectorRegistry, figures: Figures, dead: int) -> None:
    """What an alert is for: forgeries, wrong facts, dead notifications, errors of the provider."""
    kinds = {
        "zapisano_forged_payments": ("Payments that are none of ours, ever.", FORGED),
        "zapisano_mismatched_payments": ("Payments of which a fact was wrong, ever.", MISMATCH),
    }
    for name, (about, reasons) in kinds.items():
        gauge = Gauge(name, about, ["reason"], registry=tables)
        for reason in sorted(reasons):
            gauge.labels(reason).set(figures.reviews.get(reason, 0))
    Gauge(
        "zapisano_dead_notifications",
        "Notifications that nobody will handle any more: `zapisano payments inbox`.",
        registry=tables,
    ).set(dead)
    errors = Gauge(
        "zapisano_yookassa_errors", "Errors of YooKassa's API, ever.", ["code"], registry=tables
    )
    for code, count in figures.provider_errors.items():
        errors.labels(code).set(count)


def _queue(
    tables: CollectorRegistry,
    waiting: dict[str, int],
    held: dict[str, int],
    oldest_seconds: float,
) -> None:
    gauges = {
        "waiting": "Jobs that wait, by kind.",
        "held": "Jobs that failed for good and wait for `zapisano jobs requeue`, by kind.",
    }
    for (name, about), jobs in zip(gauges.items(), (waiting, held), strict=True):
        gauge = Gauge(f"zapisano_{name}_jobs", about, ["kind"], registry=tables)
        for kind, count in jobs.items():
            gauge.labels(kind).set(count)
    Gauge("zapisano_oldest_waiting_job_seconds", "0: none waits.", registry=tables).set(
        oldest_seconds
    )
