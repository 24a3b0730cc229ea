"""The price list: plans, and the time to try it for nothing. Read from a TOML file."""

import re
import tomllib
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import cast

from zapisano.errors import BrokenSetting

TRIAL = "trial"  # a table of the file that is no plan, and the plan of whoever tries
PLAN_ID = re.compile(r"[A-Za-z0-9_-]{1,16}")  # it stands in the data of buttons: 64 bytes in all
MAX_PLAN_NAME = 64  # characters; a button shows hardly more
MAX_PLAN_DAYS = 3660
MAX_PLAN_PRICE = Decimal("99999999.99")  # what an order's amount can hold
MAX_PLAN_STARS = 100_000  # Telegram names no limit for invoices; a zero too many is likelier


class Plan:
    """One line of the price list: how long, how much; `stars` is None without such a price."""

    __slots__ = ("days", "id", "name", "price", "stars")

    def __init__(self, plan_id: str, table: object) -> None:
        """Read one table of the plans file."""
        try:
            values = cast("dict[str, object]", table)
            self.id = plan_id
            self.name = str(values["name"]).strip()
            self.days = int(str(values["days"]))
            self.price = Decimal(str(values["price"]))
        except (KeyError, TypeError, ValueError, InvalidOperation) as error:
            raise BrokenSetting(
                f"ZAPISANO_PLANS_FILE: plan [{plan_id}] needs name, days and price; days is a "
                "whole number, the price roubles, as 299 or 299.50"
            ) from error
        if not (PLAN_ID.fullmatch(plan_id) and 1 <= len(self.name) <= MAX_PLAN_NAME):
            raise BrokenSetting(
                f"ZAPISANO_PLANS_FILE: plan [{plan_id}]: its id must match {PLAN_ID.pattern}, "
                f"its name have 1 to {MAX_PLAN_NAME} characters"
            )
        is_sum = self.price.is_finite() and 0 < self.price <= MAX_PLAN_PRICE
        if not (1 <= self.days <= MAX_PLAN_DAYS and is_sum and self.price == round(self.price, 2)):
            raise BrokenSetting(
                f"ZAPISANO_PLANS_FILE: plan [{plan_id}]: days must be 1 to {MAX_PLAN_DAYS}, "
                f"the price above zero, in whole kopecks, at most {MAX_PLAN_PRICE}"
            )
        self.price = round(self.price, 2)
        self.stars = _stars(plan_id, values.get("stars"))


def _stars(plan_id: str, value: object) -> int | None:
    """Read a plan's price in Telegram Stars, a whole number; it may be left out."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_PLAN_STARS:
        raise BrokenSetting(
            f"ZAPISANO_PLANS_FILE: plan [{plan_id}]: stars must be a whole number, 1 to "
            f"{MAX_PLAN_STARS}; leave it out where the plan is not sold for Telegram Stars"
        )
    return value


class Trial:
    """The time to try it for nothing, and whether that is offered."""

    __slots__ = ("days", "is_on", "name")

    def __init__(self, table: object) -> None:
        """Read the table `[trial]` of the plans file."""
        try:
            values = cast("dict[str, object]", table)
            self.name = str(values["name"])
            self.days = int(str(values["days"]))
            self.is_on = values.get("on", True)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BrokenSetting("ZAPISANO_PLANS_FILE: [trial] needs name and days") from error
        if not 1 <= self.days <= MAX_PLAN_DAYS or not isinstance(self.is_on, bool):
            raise BrokenSetting(
                f"ZAPISANO_PLANS_FILE: [trial]: days must be 1 to {MAX_PLAN_DAYS}, "
                "on is true or false"
            )


def read_plans(path: Path) -> dict[str, Plan]:
    """Return what is sold, in the file's order; a file is read once.

    Raises:
        BrokenSetting: it cannot be read, or something in it is not complete.
    """
    return _read(path)[0]


def read_trial(path: Path) -> Trial | None:
    """Return the time to try it for nothing, None where that is not offered.

    Raises:
        BrokenSetting: as `read_plans`.
    """
    trial = _read(path)[1]
    return trial if trial is not None and trial.is_on else None


@cache
def _read(path: Path) -> tuple[dict[str, Plan], Trial | None]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BrokenSetting(
            f"ZAPISANO_PLANS_FILE: {path} cannot be read ({error.strerror}); set it to your price "
            "list, or leave it out for the one that is brought along"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BrokenSetting(f"ZAPISANO_PLANS_FILE: {error}") from error
    trial = Trial(tables.pop(TRIAL)) if TRIAL in tables else None
    if not tables:
        raise BrokenSetting(f"ZAPISANO_PLANS_FILE: there is no plan in {path}")
    return {plan_id: Plan(plan_id, table) for plan_id, table in tables.items()}, trial
