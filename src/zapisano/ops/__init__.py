"""The operator's commands: migrate, tenants, doctor. What they do and how they show it."""
