"""aiogram's types in a third of the time; imported before anything of aiogram, for its effect.

At its import `aiogram.types` has pydantic build all of its 440 models one by one, each with every
model below it: three seconds of a worker's start, and of the time in which a killed worker's jobs
wait. Left alone, pydantic builds a model when it is first used, if the names in its annotations
can be found; so they are put where it looks, into the models' own modules.
"""

import sys
from typing import Any

from pydantic import BaseModel

PACKAGE = "aiogram.types"


def _import_types() -> None:
    built_by_pydantic = BaseModel.__dict__["model_rebuild"]
    names: dict[str, Any] = {}

    def later(
        _model: type[BaseModel], *, _types_namespace: dict[str, Any] | None = None, **_: object
    ) -> None:
        names.update(_types_namespace or {})

    setattr(BaseModel, "model_rebuild", classmethod(later))  # noqa: B010  # typed as it was
    try:
        from aiogram import types
    finally:
        setattr(BaseModel, "model_rebuild", built_by_pydantic)  # noqa: B010  # as it was
    for name in [name for name in sys.modules if name.startswith(f"{PACKAGE}.")]:
        module = vars(sys.modules[name])
        for known, model in names.items():
            module.setdefault(known, model)
    # Nearly all there is hangs on these two. What is wrong is to be heard now, not by a customer.
    for model in (types.Update, types.Message):
        model.model_rebuild(raise_errors=True)


if PACKAGE not in sys.modules:
    _import_types()
