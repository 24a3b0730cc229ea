"""One table from the name of a constraint to the error a person sees."""

from collections.abc import Mapping

from zapisano.errors import AppError, SlotTaken

DOMAIN_ERRORS: Mapping[str, type[AppError]] = {
    "bookings_no_overlap": SlotTaken,
}
