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
SQL_HOMES = {
    "store.py",
    "pool.py",
    "migrate.py",
    "registry.py",
    "queue.py",
    "roles.py",
    "export.py",
}
SQL = re.compile(
    r"\b(SELECT\s.+\sFROM\s|INSERT\s+INTO\s|UPDATE\s+\w+(\.\w+)?\s+SET\s|DELETE\s+FROM\s)",
    re.DOTALL,
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
    wrong = [
        f"{path}:{node.lineno}"
        for path, tree in trees()
        if path.name not in SQL_HOMES
        and path.parts[0] != "simulator"
        and "migrations" not in path.parts
        for node in strings(tree)
        if SQL.search(str(node.value))
    ]
    assert wrong == []


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
