"""The owner's side of the tenant's bot: the day, services, staff, hours, the time zone."""
