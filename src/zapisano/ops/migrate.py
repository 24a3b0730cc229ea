"""`zapisano migrate`: the shared schema, the roles, then every tenant."""

from zapisano.db.migrate import Migration
from zapisano.db.roles import remedy
from zapisano.errors import AppError
from zapisano.ops import screen
from zapisano.settings import Settings
from zapisano.telemetry import tell_supervisor


class TenantsFailed(AppError):
    """Some tenants could not be migrated; the others were."""

    code, text = "tenants_failed", "Some tenants could not be migrated."


async def migrate(settings: Settings) -> None:
    """Bring everything to the head and say what was done. Safe to repeat after any failure.

    Raises:
        TenantsFailed: the named tenants stayed as they were.
    """
    with screen.progress("Tenants") as on_progress:
        report = await Migration(settings).run(on_progress)
    if not report.isolated:
        warning = f"Isolation by role is off. To turn it on: {remedy(settings)}"
        screen.say(warning)
        tell_supervisor(f"STATUS={warning}")
    if report.roles_made:
        screen.say(f"Tenants that had no role and have one now: {report.roles_made}.")
    screen.say(f"The shared schema is up to date; tenants migrated: {len(report.migrated)}.")
    if report.failed:
        lines = [f"{tenant}: {reason}" for tenant, reason in sorted(report.failed.items())]
        left = report.behind - len(report.migrated) - len(report.failed)
        if left:
            lines.append(f"{left} more were not tried: the first tenant shows that it would fail.")
        raise TenantsFailed("\n".join(["These tenants stayed as they were:", *lines]))
