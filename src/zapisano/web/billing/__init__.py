"""Credits over HTTP: `/api/billing` and `/api/admin`, as the source document prints them."""
