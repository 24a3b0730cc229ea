"""The doctor's look at Redis, Telegram and YooKassa. No answer here may hold a credential."""

from typing import Any

import httpx
from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError

from zapisano.ops.model import Check, brings_its_own, failed, good, warning
from zapisano.settings import Settings

TIMEOUT_SECONDS = 10.0
OLDEST_REDIS = (6, 2)


async def check_redis(settings: Settings) -> list[Check]:
    """Look at Redis or Valkey, and whether it is a cluster as the settings say."""
    name = "Redis"
    if not settings.redis and settings.redis_enabled and brings_its_own(settings):
        remedy = "start `zapisano up` (it brings its own), or set REDIS_URL or REDIS_HOST"
        return [failed(name, "not running", remedy)]
    if not settings.redis:
        return [
            warning(
                name,
                "none is set: conversations end with the process",
                "set REDIS_URL or REDIS_HOST, or start `zapisano up`, which brings its own"
                if settings.redis_enabled
                else "set REDIS_ENABLED=true, or leave it out",
            )
        ]
    try:
        client: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType]  # untyped in redis-py
            settings.redis, socket_connect_timeout=TIMEOUT_SECONDS, socket_timeout=TIMEOUT_SECONDS
        )
    except ValueError:
        return [failed(name, "REDIS_URL cannot be read", "write redis://:password@host:6379/0")]
    try:
        about: dict[str, Any] = await client.info()  # pyright: ignore[reportUnknownMemberType]  # untyped in redis-py
    except AuthenticationError as error:
        return [failed(name, f"refuses the login: {error}", "put the password into REDIS_URL")]
    except (RedisError, OSError) as error:
        return [
            failed(
                name,
                f"is not answering ({type(error).__name__})",
                "see that it runs, and that REDIS_URL (or REDIS_HOST, REDIS_PORT, REDIS_PASSWORD) "
                "is right",
            )
        ]
    finally:
        await client.aclose()
    return [_redis(settings, about)]


def _redis(settings: Settings, about: dict[str, Any]) -> Check:
    name, clustered = "Redis", bool(about.get("cluster_enabled"))
    product = "Valkey" if "valkey_version" in about else "Redis"
    version = str(about.get("valkey_version") or about.get("redis_version"))
    found = f"{product} {version}{', a cluster' if clustered else ''}"
    if clustered != settings.redis_cluster:
        return failed(
            name,
            f"{found}, but REDIS_CLUSTER={str(settings.redis_cluster).lower()}",
            f"set REDIS_CLUSTER={str(clustered).lower()}",
        )
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        return failed(name, found, "use Redis 6.2 or newer, or Valkey")
    return good(name, found)


async def check_telegram(settings: Settings) -> list[Check]:
    """Look at the sales bot: its token, whether it may create bots, and its webhook."""
    name, token = "Sales bot", settings.sales_bot_token.get_secret_value()
    if not token:
        return [
            failed(name, "SALES_BOT_TOKEN is not set", "make a bot at @BotFather, set its token")
        ]
    base, proxy = settings.telegram_api_base, settings.telegram_proxy.get_secret_value()
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, proxy=proxy or None) as client:
            me = (await client.get(f"{base}/bot{token}/getMe")).json()
            hook = (await client.get(f"{base}/bot{token}/getWebhookInfo")).json()
    except (httpx.HTTPError, ValueError, ImportError) as error:
        return [
            failed(
                "Telegram",
                f"{base} is not answering ({type(error).__name__})",
                "see that this machine reaches it; where Telegram is throttled set TELEGRAM_PROXY "
                "or TELEGRAM_API_BASE",
            )
        ]
    if not me.get("ok"):
        return [
            failed(
                name,
                f"Telegram refuses the token ({me.get('error_code')})",
                "set SALES_BOT_TOKEN to the token that @BotFather shows for the bot",
            )
        ]
    return [_sales_bot(me["result"]), _sales_webhook(settings, hook.get("result", {}))]


def _sales_bot(me: dict[str, Any]) -> Check:
    name = f"@{me.get('username')}"
    if not me.get("can_manage_bots"):
        return warning(
            "Sales bot",
            f"{name} may not create bots: buyers must paste a token",
            "in @BotFather's Mini App switch on Bot Management Mode for it",
        )
    return good("Sales bot", f"{name}, may create bots")


def _sales_webhook(settings: Settings, hook: dict[str, Any]) -> Check:
    name, url = "Sales bot's webhook", str(hook.get("url", ""))
    if not settings.webhook_url:
        if url:
            return warning(
                name, "is set, while WEBHOOK_URL is not", "set WEBHOOK_URL, or remove the webhook"
            )
        return warning(name, "is not set: updates are polled for", "set WEBHOOK_URL in production")
    if not url.startswith(f"{settings.webhook_url}/"):
        return warning(
            name,
            "does not lead to WEBHOOK_URL" if url else "is not set yet",
            "start `zapisano worker`: it sets the webhook",
        )
    waiting, trouble = hook.get("pending_update_count", 0), hook.get("last_error_message")
    if trouble and waiting:
        return warning(
            name,
            f"Telegram could not deliver: {trouble} ({waiting} waiting)",
            "see that WEBHOOK_URL is reached from outside and `zapisano serve` runs",
        )
    return good(name, f"leads here, {waiting} updates waiting")


async def check_yookassa(settings: Settings) -> list[Check]:
    """Look at the shop: its credentials, and whether it is a test shop as expected."""
    name, shop = "YooKassa", settings.yookassa_shop_id
    secret = settings.yookassa_secret_key.get_secret_value()
    if not shop or not secret:
        return [
            failed(
                name,
                "YOOKASSA_SHOP_ID or YOOKASSA_SECRET_KEY is not set",
                "take both from the shop's page: Integration, API keys",
            )
        ]
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client:
            answer = await client.get(f"{settings.yookassa_api_url}/me", auth=(shop, secret))
            me = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        return [
            failed(
                name,
                f"{settings.yookassa_api_url} is not answering ({type(error).__name__})",
                "see that this machine reaches it",
            )
        ]
    if not answer.is_success:
        return [
            failed(
                name,
                f"refuses the credentials ({answer.status_code})",
                "take YOOKASSA_SHOP_ID and YOOKASSA_SECRET_KEY from the shop's page again",
            )
        ]
    return [_shop(settings, me)]


def _shop(settings: Settings, me: dict[str, Any]) -> Check:
    name, test = "YooKassa", bool(me.get("test"))
    found = f"shop {me.get('account_id')}, {'test' if test else 'real'} payments"
    if str(me.get("account_id")) != settings.yookassa_shop_id:
        return failed(name, f"{found}: not YOOKASSA_SHOP_ID", "set both from the same shop")
    if test != settings.expects_test_payments:
        return failed(
            name,
            f"{found}, but {'real' if test else 'test'} ones are expected",
            f"set YOOKASSA_TEST={str(test).lower()}, or take the other shop's id and key",
        )
    if me.get("status", "enabled") != "enabled":
        return failed(name, f"{found}: {me.get('status')}", "ask YooKassa why the shop is off")
    return good(name, found)
