"""Services, staff, hours, availability, bookings and reminders of one tenant."""
