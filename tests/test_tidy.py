"""House rules that no linter knows: where SQL lives, how long a thing may be."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "zapisano"
MODULES = sorted(p for p in SOURCE.rglob("*.py"))
# Where the product's SQL lives. The simulator is another program, with a database of its own.
SQL_HOMES = {
    "booking/store.py",
    "bots/store.py",
    "credits/store/accounts.py",
    "credits/store/alerts.py",
    "credits/store/audit.py",
    "credits/store/history.py",
    "credits/store/holds.py",
    "credits/store/keys.py",
    "credits/store/movements.py",
    "credits/store/sessions.py",
    "credits/store/tables.py",
    "db/chains.py",
    "db/database.py",
    "db/ledger.py",
    "db/migrate.py",
    "db/migrations/credits/versions/c0001_the_ledger.py",
    "db/migrations/credits/versions/c0002_movements.py",
    "db/migrations/credits/versions/c0003_accounts.py",
    "db/migrations/credits/versions/c0004_alerts_of_other_kinds.py",
    "db/migrations/shared/versions/s0001_the_house.py",
    "db/migrations/shared/versions/s0002_unanswered_requests.py",
    "db/migrations/shared/versions/s0003_prompted_and_unpaid.py",
    "db/migrations/shared/versions/s0004_order_of_updates.py",
    "db/migrations/shared/versions/s0005_orders_of_credits.py",
    "db/migrations/shared/versions/s0006_paid_time_and_methods.py",
    "db/migrations/shared/versions/s0007_the_desk.py",
    "db/migrations/shared/versions/s0008_refunds.py",
    "db/migrations/shared/versions/s0009_ended_methods.py",
    "db/migrations/shared/versions/s0010_life_of_a_subscription.py",
    "db/migrations/shared/versions/s0011_promo_and_invitations.py",
    "db/migrations/shared/versions/s0012_stars.py",
    "db/migrations/shared/versions/s0013_reviews_open_again.py",
    "db/migrations/shared/versions/s0014_last_sweep.py",
    "db/migrations/shared/versions/s0015_final_charges_name_no_method.py",
    "db/migrations/shared/versions/s0016_auto_topup.py",
    "db/migrations/tenant/versions/t0001_the_tenant.py",
    "db/pool.py",
    "db/probe.py",
    "db/registry.py",
    "db/roles.py",
    "db/walls.py",
    "jobs/store.py",
    "journal/store.py",
    "ops/store.py",
    "payments/store/auto_topup.py",
    "payments/store/desk.py",
    "payments/store/figures.py",
    "payments/store/inbox.py",
    "payments/store/methods.py",
    "payments/store/orders.py",
    "payments/store/reconcile.py",
    "payments/store/refunds.py",
    "payments/store/promo.py",
    "payments/store/reviews.py",
    "payments/store/stars.py",
    "stack/postgres.py",
    "stack/psql.py",
    "subscriptions/invited.py",
    "subscriptions/store.py",
    "tenancy/export.py",
    "tenancy/store.py",
}
# A statement at the start of a text, or after a bracket or a semicolon; English has none of these
# in capitals. `SELECT f(…)` and `SELECT current_user` need no FROM.
SQL = re.compile(
    r"(^|[;(])\s*(SELECT|INSERT\s+INTO|UPDATE|DELETE\s+FROM|WITH\s+\w+\s+AS|GRANT|REVOKE|LOCK"
    r"|CREATE|ALTER|DROP|TRUNCATE|BEGIN|COMMIT|ROLLBACK|SET\s+LOCAL|LISTEN|NOTIFY|COPY|DO\s+\$\$\s*BEGIN)\b"
)
MAX_FUNCTION_LINES = 60
MAX_MODULE_LINES = 500


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    return [(path.relative_to(SOURCE), ast.parse(path.read_text())) for path in MODULES]


def test_modules_are_short_and_say_what_they_are() -> None:
    wrong = [
        str(path)
        for path, tree in trees()
        if ast.get_docstring(tree) is None
        or (SOURCE / path).read_text().count("\n") > MAX_MODULE_LINES
    ]
    assert wrong == []


def test_functions_can_be_read_without_scrolling() -> None:
    wrong = [
        f"{path}:{node.name}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno >= MAX_FUNCTION_LINES
    ]
    assert wrong == []


def strings(tree: ast.Module) -> Iterator[ast.Constant]:
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ):
            yield node


def test_sql_lives_in_stores() -> None:
    found = {
        f"{path.as_posix()}:{node.lineno}"
        for path, tree in trees()
        if path.parts[0] != "simulator"
        for node in strings(tree)
        if SQL.search(str(node.value))
    }
    homes = {place.rpartition(":")[0] for place in found}
    assert {place for place in found if place.rpartition(":")[0] not in SQL_HOMES} == set()
    assert SQL_HOMES - homes == set(), "no SQL lives here any more"


@pytest.mark.parametrize(
    ("text", "is_sql"),
    [
        ("SELECT current_user::text", True),
        ("SELECT f($1)", True),
        ("GRANT USAGE ON SCHEMA ", True),
        ("; SET LOCAL ROLE ", True),
        ("\n  LOCK TABLE ", True),
        ("WITH ripe AS (DELETE FROM due)", True),
        ("Select a plan", False),
        ("DO $$ BEGIN CREATE ROLE ", True),
        ("DROPPED", False),
        ("zapisano psql -c 'SELECT 1'", False),
    ],
)
def test_sql_is_told_from_words(text: str, is_sql: bool) -> None:
    assert bool(SQL.search(text)) is is_sql


def test_one_clock_tells_the_real_time() -> None:
    wrong = [
        f"{path}:{node.lineno}"
        for path, tree in trees()
        if path.parts[0] != "simulator"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "datetime.now"
    ]
    assert [place.rpartition(":")[0] for place in wrong] == ["clock.py"], wrong


def test_no_cancellation_is_lost() -> None:
    """Before Python 3.12 `asyncio.wait_for` forgets a cancellation that comes with its result.

    https://github.com/python/cpython/issues/86296; `asyncio.timeout` does not.
    """
    assert [path for path in MODULES if "asyncio.wait_for(" in path.read_text()] == []


def test_columns_are_named() -> None:
    wrong = [
        f"{path}:{node.lineno}"
        for path, tree in trees()
        for node in strings(tree)
        if re.search(r"\bSELECT\s+\*", str(node.value), re.IGNORECASE)
    ]
    assert wrong == []


@pytest.mark.parametrize("word", ["utils", "helpers", "manager", "common"])
def test_no_module_has_a_name_that_says_nothing(word: str) -> None:
    assert [str(p) for p in MODULES if p.stem == word] == []
