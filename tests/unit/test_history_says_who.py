"""`tenants history` prints who has done it: each line of the journal about a tenant has that."""

import ast
from pathlib import Path

import zapisano

SOURCE = Path(zapisano.__file__).parent


def records(tree: ast.Module) -> list[ast.Call]:
    return [
        call
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "journal.record"
    ]


def is_of_a_tenant(call: ast.Call) -> bool:
    kind = ast.unparse(call.args[1])
    return "booking." in kind or any(named.arg == "tenant" for named in call.keywords)


def test_every_event_of_a_tenant_says_who() -> None:
    found, without = 0, list[str]()
    for path in sorted(SOURCE.rglob("*.py")):
        for call in records(ast.parse(path.read_text())):
            if not is_of_a_tenant(call):
                continue
            found += 1
            if not {"by", "via"} & {named.arg for named in call.keywords}:
                without.append(f"{path.relative_to(SOURCE)}:{call.lineno}")
    assert without == []
    assert found > 20
