"""Credits alone as a function on Vercel, which serves the ASGI application named `app`.

Nothing is opened before the first request, and nothing has to be closed after the last one, so it
does not matter whether lifespan events come.
"""  # noqa: INP001 # Vercel looks for a file, not for a package

from zapisano.app import create_credits
from zapisano.db import open_alone
from zapisano.settings import load
from zapisano.telemetry import configure_logging

settings = load()
configure_logging(as_json=True)
app = create_credits(settings, open_alone(settings))
