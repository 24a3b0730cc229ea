"""`zapisano migrate`: the shared schema, the roles, then every tenant."""

from zapisano.db.migrate import Migration, Report
from zapisano.db.roles import remedy
from zapisano.errors import AppError
from zapisano.ops import screen
from zapisano.settings import Settings
from zapisano.telemetry import tell_supervisor

MOST_NAMED = 5


class TenantsFailed(AppError):
    """Some tenants could not be migrated; the others were."""

    code, text = "tenants_failed", "Some tenants could not be migrated."


async def migrate(settings: Settings, *, go_on: bool = False) -> None:
    """Bring everything to the head and say what was done. Safe to repeat after any failure.

    With `go_on` tenants that cannot be migrated are a warning: one of them must not keep the
    others down. Not when they show that the change itself is wrong.

    Raises:
        TenantsFailed: the named tenants stayed as they were.
    """
    with screen.progress("Tenants") as on_progress:
        report = await Migration(settings).run(on_progress)
    if not report.isolated:
        _warn(f"Isolation by role is off. To turn it on: {remedy(settings)}")
    if report.roles_made:
        screen.say(f"Tenants that had no role and have one now: {report.roles_made}.")
    screen.say(f"The shared schema is up to date; tenants migrated: {len(report.migrated)}.")
    if not report.failed:
        return
    if report.looks_wrong or not go_on:
        raise TenantsFailed("\n".join(["These tenants stayed as they were:", *_why(report)]))
    for line in _why(report):
        screen.say(f"Not migrated: {line}")
    count, first = len(report.failed) + report.untried, sorted(report.failed)[:MOST_NAMED]
    named = ", ".join(first) + (", …" if count > len(first) else "")
    _warn(f"Tenants that could not be migrated: {count} ({named}). zapisano migrate says why.")


def _why(report: Report) -> list[str]:
    lines = [f"{tenant}: {reason}" for tenant, reason in sorted(report.failed.items())]
    if report.untried:
        why = "the first ones show that they fail" if report.looks_wrong else "too many are in use"
        lines.append(f"{report.untried} more were not tried: {why}.")
    return lines


def _warn(line: str) -> None:
    screen.say(line)
    tell_supervisor(f"STATUS={line}")
