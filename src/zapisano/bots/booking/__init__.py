"""The tenant's bot: customers book, the owner runs the business."""

from zapisano.bots.booking.notify import BookingNotices
from zapisano.bots.booking.routing import booking_router

__all__ = ["BookingNotices", "booking_router"]
