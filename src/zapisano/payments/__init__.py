"""Orders, the YooKassa client, the inbox and settle."""
