"""aiogram's types, imported quickly, are the same as those that aiogram itself makes."""

import subprocess
import sys

SHOW = """
import inspect, re
from aiogram import methods, types
from pydantic import BaseModel
print(types.User.__pydantic_complete__)
for package in (types, methods):
    for name in sorted(package.__all__):
        model = getattr(package, name)
        if inspect.isclass(model) and issubclass(model, BaseModel):
            model.model_rebuild()
            assert model.__pydantic_complete__, name
            fields = {field: str(info) for field, info in model.model_fields.items()}
            print(name, re.sub(r'0x[0-9a-f]+', '', str(fields)))
"""


def shown(first: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", first + SHOW],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def test_types_imported_quickly_are_aiograms() -> None:
    built, *slow = shown("")
    unbuilt, *quick = shown("import zapisano.bots.aiogram_types")
    # Else there is nothing to win any more, and the quick way can go.
    assert (built, unbuilt) == ("True", "False")
    assert len(quick) > 500
    assert quick == slow


def test_the_worker_takes_the_quick_way() -> None:
    line = "import zapisano.worker, aiogram.types as t; print(t.Gift.__pydantic_complete__)"
    ran = subprocess.run(
        [sys.executable, "-c", line], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.stdout, ran.stderr) == ("False\n", "")
