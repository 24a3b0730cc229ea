"""`zapisano credits verify`: prove the whole ledger."""

from zapisano.credits.model import LOWEST_FLOOR
from zapisano.credits.verify import Finding, Report, verify
from zapisano.errors import AppError
from zapisano.ops import screen
from zapisano.ops.credits.opening import opened
from zapisano.settings import Settings


class LedgerIsBent(AppError):
    """Something does not hold; the findings were shown."""

    code, text = "ledger_is_bent", "The ledger is not sound."


async def prove(settings: Settings, *, heads: bool = False) -> None:
    """Read everything, say what is there, and name whatever does not hold.

    With `heads` each account's head is shown as well.

    Raises:
        LedgerIsBent: something does not hold.
    """
    async with opened(settings) as database:
        with screen.progress("Accounts") as on_progress:
            report = await verify(database, floor=LOWEST_FLOOR, on_progress=on_progress)
    if heads:
        rows = [(str(one.account), one.email, one.head.hex()) for one in report.heads]
        screen.table(("account", "address", "head"), rows)
    if report.findings:
        screen.table(
            ("account", "movement", "what does not hold", "expected", "found"),
            [_row(one) for one in report.findings],
        )
        more = " at least" if report.is_cut else ""
        raise LedgerIsBent(
            f"The ledger is not sound: {len(report.findings)} findings{more}. {_counted(report)}"
        )
    screen.note(f"The ledger is sound. {_counted(report)}")
    screen.say(f"sha256 over all heads: {report.digest}")


def _row(one: Finding) -> tuple[str, ...]:
    return (
        "-" if one.account is None else str(one.account),
        "-" if one.movement is None else str(one.movement),
        one.invariant.says,
        one.expected,
        one.found,
    )


def _counted(report: Report) -> str:
    line = f"Accounts: {report.accounts}, movements: {report.movements}"
    if report.frozen:
        line += f", frozen: {report.frozen}"
    if report.waiting:
        line += f", not adopted yet: {report.waiting}"
    return f"{line}."
