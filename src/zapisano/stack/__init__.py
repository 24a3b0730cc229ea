"""Start everything on this machine and keep it alive."""
