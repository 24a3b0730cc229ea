"""The guides' settings as constants: `from config import CLIENT_ID, REDIS_KEY_PREFIX`.

Read once, by the product's own reader: the environment, then sales_bot/.env, .env.local, .env.
Run or imported by the system's python3, the program is started anew in `.venv`.
"""

import door

door.enter()

from zapisano.settings import load  # noqa: E402 # after the change of python

_settings = load()

# Client isolation
CLIENT_ID = _settings.client_id
REDIS_KEY_PREFIX = _settings.redis_key_prefix

# Redis: every client in database 0, kept apart by the prefix
REDIS_ENABLED = bool(_settings.redis)
REDIS_HOST = _settings.redis_host
REDIS_PORT = _settings.redis_port
REDIS_PASSWORD = _settings.redis_password.get_secret_value() or None
REDIS_DB = 0
REDIS_URL = _settings.redis

# PostgreSQL
DATABASE_URL = _settings.database_url.get_secret_value()
POSTGRES_URL = DATABASE_URL

# YooKassa
YOOKASSA_SHOP_ID = _settings.yookassa_shop_id
YOOKASSA_SECRET_KEY = _settings.yookassa_secret_key.get_secret_value()
WEBHOOK_URL = _settings.webhook_url

# Master bot
MASTER_BOT_API_URL = _settings.master_bot_api_url
MASTER_API_TOKEN = _settings.master_api_token.get_secret_value()
