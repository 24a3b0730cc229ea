"""Services, staff, hours, availability and bookings of one tenant.

Verbs take an open `TenantConnection` and commit with their caller. `owner` holds what the owner
may change, `usecases` what is asked most.
"""

from zapisano.booking import owner
from zapisano.booking.book import Booked, book
from zapisano.booking.cancel import cancel
from zapisano.booking.jobs import Actor, BookingChanged, Change, Remind
from zapisano.booking.model import (
    BadField,
    Booking,
    BookingOver,
    NotOffered,
    Person,
    Rules,
    Service,
    Slot,
    Staff,
    Status,
    TooMany,
    UnknownBooking,
    UnknownService,
    UnknownStaff,
    Visit,
    Wish,
)
from zapisano.booking.move import move
from zapisano.booking.usecases import (
    agenda,
    booking_of,
    choose_language,
    close,
    confirm,
    customer_of,
    free_days,
    free_slots,
    my_bookings,
    next_free,
    remember_person,
    rules_of,
    service_of,
    services_offered,
    share_phone,
    staff_offered,
)

__all__ = [
    "Actor",
    "BadField",
    "Booked",
    "Booking",
    "BookingChanged",
    "BookingOver",
    "Change",
    "NotOffered",
    "Person",
    "Remind",
    "Rules",
    "Service",
    "Slot",
    "Staff",
    "Status",
    "TooMany",
    "UnknownBooking",
    "UnknownService",
    "UnknownStaff",
    "Visit",
    "Wish",
    "agenda",
    "book",
    "booking_of",
    "cancel",
    "choose_language",
    "close",
    "confirm",
    "customer_of",
    "free_days",
    "free_slots",
    "move",
    "my_bookings",
    "next_free",
    "owner",
    "remember_person",
    "rules_of",
    "service_of",
    "services_offered",
    "share_phone",
    "staff_offered",
]
