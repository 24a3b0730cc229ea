"""The desk for payments: what the provider has told us, and what a person decides."""
