"""Frozen settings: the only reader of the environment.

Sources, strongest first: the environment, `sales_bot/.env`, `.env.local`, `.env`. Every key that
the two source guides print is known. All problems are reported at once, one line each.
"""

import re
from base64 import b64decode
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit
from zoneinfo import available_timezones

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from zapisano.errors import BrokenSetting
from zapisano.plans import Plan, Trial, read_plans, read_trial

ENV_FILES = (".env", ".env.local", "sales_bot/.env")
NO_SECRET = SecretStr("")
BOT_TOKEN = re.compile(r"[0-9]{3,16}:[A-Za-z0-9_-]{20,64}")
TENANT = re.compile(r"client_[0-9]{3,9}")
SHORTEST_SECRET_KEY = 32
WEBHOOK_SECRET_BYTES = range(24, 65)
# https://neon.com/docs/connect/connection-pooling: of one database two hosts, a suffix apart.
NEON_POOLER = re.compile(r"(?<=@)(ep-[a-z0-9-]+)-pooler(?=\.)")
# Published by YooKassa ("Incoming notifications", checked October 2026).
YOOKASSA_NETWORKS = (
    "185.71.76.0/27,185.71.77.0/27,77.75.153.0/25,77.75.154.128/25,"
    "77.75.156.11,77.75.156.35,2a02:5180::/32"
)

Network = IPv4Network | IPv6Network
Networks = Annotated[tuple[Network, ...], NoDecode]
Names = Annotated[tuple[str, ...], NoDecode]
Days = Annotated[tuple[int, ...], NoDecode]


# How often, as the library `limits` reads it: 60/minute.
RATE = r"^[1-9][0-9]{0,6}/(second|minute|hour|day)$"
MOST_CREDITS = 1_000_000
ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]{1,5})?")
MOST_REMIND_DAYS = 14


class Settings(BaseSettings):
    """Everything the operator may decide. A field's environment name is its name in capitals."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILES,
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        populate_by_name=True,
    )

    database_url: SecretStr = Field(
        NO_SECRET, validation_alias=AliasChoices("DATABASE_URL", "POSTGRES_URL")
    )
    app_database_url: SecretStr = NO_SECRET
    database_pool_size: int = Field(8, ge=2, le=64)
    database_tenants_per_connection: int = Field(250, ge=1)
    database_statement_cache: int = Field(256, ge=0)

    redis_url: SecretStr = NO_SECRET
    redis_host: str = ""
    redis_port: int = Field(6379, ge=1, le=65535)
    redis_password: SecretStr = NO_SECRET
    redis_enabled: bool = True
    redis_cluster: bool = False

    api_port: int = Field(8000, validation_alias="ZAPISANO_API_PORT", ge=1, le=65535)
    webhook_port: int = Field(8001, validation_alias="ZAPISANO_WEBHOOK_PORT", ge=1, le=65535)
    host: str = Field("127.0.0.1", validation_alias="ZAPISANO_HOST")
    data_dir: Path = Field(Path(".zapisano"), validation_alias="ZAPISANO_DATA_DIR")
    secret_key: SecretStr = Field(NO_SECRET, validation_alias="ZAPISANO_SECRET_KEY")
    public_url: str = Field("", validation_alias="ZAPISANO_PUBLIC_URL")
    demo: bool = Field(False, validation_alias="ZAPISANO_DEMO")
    log_json: bool = Field(False, validation_alias="ZAPISANO_LOG_JSON")
    log_file: Path | None = Field(None, validation_alias="ZAPISANO_LOG_FILE")
    trusted_proxies: Networks = Field((), validation_alias="ZAPISANO_TRUSTED_PROXIES")
    time_zone: str = Field("Europe/Moscow", validation_alias="ZAPISANO_TIME_ZONE")
    operator_name: str = Field("Записано", validation_alias="ZAPISANO_OPERATOR_NAME")
    operator_terms: str = Field("", validation_alias="ZAPISANO_OPERATOR_TERMS")
    operator_requisites: str = Field("", validation_alias="ZAPISANO_OPERATOR_REQUISITES")
    operator_refunds: str = Field("", validation_alias="ZAPISANO_OPERATOR_REFUNDS")
    support_contact: str = Field("", validation_alias="ZAPISANO_SUPPORT_CONTACT")
    frame_ancestors: str = Field(
        "http://127.0.0.1:* http://localhost:*",
        validation_alias="ZAPISANO_FRAME_ANCESTORS",
        pattern=r"^[^;,\s]+( [^;,\s]+)*$",
    )
    plans_file: Path = Field(
        Path(__file__).with_name("plans.toml"), validation_alias="ZAPISANO_PLANS_FILE"
    )
    remind_days: Days = Field((7, 3, 1, 0), validation_alias="ZAPISANO_REMIND_DAYS")
    grace_days: int = Field(3, validation_alias="ZAPISANO_GRACE_DAYS", ge=0, le=30)
    archive_days: int = Field(90, validation_alias="ZAPISANO_ARCHIVE_DAYS", ge=14, le=3660)
    referral_days: int = Field(14, validation_alias="ZAPISANO_REFERRAL_DAYS", ge=0, le=365)

    master_api_token: SecretStr = NO_SECRET
    master_bot_api_url: str = "http://localhost:8000"
    webhook_url: str = ""
    sales_bot_token: SecretStr = NO_SECRET
    telegram_api_base: str = "https://api.telegram.org"
    telegram_proxy: SecretStr = NO_SECRET
    telegram_link_base: str = "https://t.me"
    telegram_stars: bool = False

    yookassa_shop_id: str = ""
    yookassa_secret_key: SecretStr = NO_SECRET
    yookassa_api_url: str = "https://api.yookassa.ru/v3"
    yookassa_networks: Networks = Field(YOOKASSA_NETWORKS, validate_default=True)
    yookassa_sender_check: str = Field("strict", pattern="^(strict|log)$")
    yookassa_webhook_limit: str = Field("60/minute", pattern=RATE)
    yookassa_pace: str = Field("50/second", pattern=RATE)
    yookassa_oauth_token: SecretStr = NO_SECRET
    yookassa_test: bool | None = None
    yookassa_autopay: bool = False
    yookassa_vat_code: int | None = Field(None, ge=1, le=12)
    yookassa_tax_system: int | None = Field(None, ge=1, le=6)
    yookassa_receipts: bool = False
    legacy_sales_until: date | None = None

    migration_secret: SecretStr = NO_SECRET
    cron_secret: SecretStr = NO_SECRET
    nextauth_secret: SecretStr = NO_SECRET
    auth_secret: SecretStr = NO_SECRET
    auth_secret_1: SecretStr = NO_SECRET
    auth_secret_2: SecretStr = NO_SECRET
    auth_secret_3: SecretStr = NO_SECRET
    auth_session_query: str = ""
    credits_port: int = Field(3000, validation_alias="ZAPISANO_CREDITS_PORT", ge=1, le=65535)
    credits_origins: Names = ()
    credits_opening: Decimal = Field(Decimal("50.00"), ge=0, le=MOST_CREDITS, decimal_places=2)
    credits_test_opening: Decimal = Field(
        Decimal("100.00"), ge=0, le=MOST_CREDITS, decimal_places=2
    )
    credits_test_accounts: Names = ("test@doctor-opus.ru", "support@doctor-opus.ru")
    credits_most_per_charge: Decimal = Field(
        Decimal("1000.00"), gt=0, le=MOST_CREDITS, decimal_places=2
    )
    credits_prices_file: Path = Path(__file__).with_name("prices.toml")
    credits_per_rouble: Decimal = Field(Decimal(1), gt=0, le=1000, decimal_places=4)
    credits_return_url: str = ""
    credits_low_balance: Decimal | None = Field(None, ge=0, le=MOST_CREDITS, decimal_places=2)
    credits_webhook_url: str = ""
    credits_webhook_secret: SecretStr = NO_SECRET
    credits_auto_topup_seconds: int = Field(5, ge=1, le=3600)

    client_id: str = "default"
    redis_key_prefix: str = ""

    @field_validator("trusted_proxies", "yookassa_networks", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        """Read a comma-separated list of addresses and networks."""
        if isinstance(value, str):
            return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
        return value

    @field_validator("credits_test_accounts", "credits_origins", mode="before")
    @classmethod
    def _names(cls, value: object) -> object:
        """Read a comma-separated list of addresses, in lower case."""
        if isinstance(value, str):
            return tuple(part.strip().lower() for part in value.split(",") if part.strip())
        return value

    @field_validator("remind_days", mode="before")
    @classmethod
    def _days(cls, value: object) -> object:
        """Read a comma-separated list of numbers of days."""
        if not isinstance(value, str):
            return value
        days = [part.strip() for part in value.split(",") if part.strip()]
        if not all(day.isdecimal() and int(day) <= MOST_REMIND_DAYS for day in days):
            raise ValueError(
                f"is a list of days from 0 to {MOST_REMIND_DAYS}; write for example 7,3,1,0"
            )
        return tuple(sorted({int(day) for day in days}, reverse=True))

    @field_validator("credits_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            if not ORIGIN.fullmatch(one):
                raise ValueError(f"{one!r} is no site; write for example https://app.example.com")
        return value

    @field_validator("credits_webhook_secret")
    @classmethod
    def _can_sign(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        """Refuse what cannot sign webhooks: Standard Webhooks ask for 24 to 64 bytes in base64."""
        secret = value.get_secret_value()
        if not secret and not info.data.get("credits_webhook_url"):
            return value
        try:
            length = len(b64decode(secret.removeprefix("whsec_"), validate=True))
        except ValueError:
            length = 0
        if length not in WEBHOOK_SECRET_BYTES:
            raise ValueError(
                "signs what is sent to CREDITS_WEBHOOK_URL and must be 24 to 64 bytes in base64; "
                "make one with: echo whsec_$(openssl rand -base64 32)"
            )
        return value

    @field_validator("yookassa_receipts")
    @classmethod
    def _can_write_receipts(cls, value: bool, info: ValidationInfo) -> bool:
        """Refuse receipts without their taxes: those are the operator's to decide."""
        missing = [
            name
            for name in ("YOOKASSA_VAT_CODE", "YOOKASSA_TAX_SYSTEM")
            if info.data.get(name.lower()) is None
        ]
        if value and missing:
            raise ValueError(
                f"receipts need {' and '.join(missing)}, from 1 to 12 and from 1 to 6: "
                "your accountant knows them; or set YOOKASSA_RECEIPTS=off"
            )
        return value

    @field_validator("database_url", "app_database_url")
    @classmethod
    def _goes_direct(cls, value: SecretStr) -> SecretStr:
        """Name Neon's direct host: its pooler refuses what our sessions begin with."""
        return SecretStr(NEON_POOLER.sub(r"\1", value.get_secret_value()))

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("is no IANA time zone; write for example Europe/Moscow")
        return value

    @field_validator("sales_bot_token")
    @classmethod
    def _looks_like_a_token(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and not BOT_TOKEN.fullmatch(value.get_secret_value()):
            raise ValueError("is no bot token; BotFather gives one like 123456789:AA…")
        return value

    @field_validator("secret_key")
    @classmethod
    def _is_long(cls, value: SecretStr) -> SecretStr:
        if 0 < len(value.get_secret_value()) < SHORTEST_SECRET_KEY:
            raise ValueError(
                f"needs at least {SHORTEST_SECRET_KEY} characters; make one with: "
                "openssl rand -base64 32"
            )
        return value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: SecretStr) -> SecretStr:
        address = value.get_secret_value()
        if not address.startswith("unix://"):
            _check_address(address, "redis", "rediss", "unix")
        return value

    @field_validator("telegram_proxy")
    @classmethod
    def _is_a_proxy(cls, value: SecretStr) -> SecretStr:
        _check_address(value.get_secret_value(), "http", "https", "socks4", "socks5")
        return value

    @field_validator("client_id")
    @classmethod
    def _is_a_tenant(cls, value: str) -> str:
        if value not in {"", "default"} and not TENANT.fullmatch(value):
            raise ValueError("is no tenant; it looks like client_001, or leave it out")
        return value

    @field_validator(
        "webhook_url",
        "public_url",
        "telegram_api_base",
        "telegram_link_base",
        "yookassa_api_url",
        "credits_return_url",
        "credits_webhook_url",
    )
    @classmethod
    def _no_trailing_slash(cls, value: str) -> str:
        _check_address(value, "https", "http")
        return value.rstrip("/")

    @property
    def plans(self) -> dict[str, Plan]:
        """The price list, in the file's order.

        Raises:
            BrokenSetting: the file is wrong, or Stars are on and nothing is sold for them.
        """
        plans = read_plans(self.plans_file)
        if self.telegram_stars and all(plan.stars is None for plan in plans.values()):
            raise BrokenSetting(
                "TELEGRAM_STARS: is on, and no plan has a price in Stars; add a line such as "
                f"stars = 250 to a plan in {self.plans_file}, or switch it off"
            )
        return plans

    def stars_price(self, plan_id: str) -> int | None:
        """What a plan costs in Telegram Stars; None where it is not sold for them."""
        plan = self.plans.get(plan_id) if self.telegram_stars else None
        return plan.stars if plan else None

    @property
    def stars_shop_id(self) -> str:
        """Who receives Stars: the sales bot, by its id; '' without one."""
        return self.sales_bot_token.get_secret_value().partition(":")[0]

    @property
    def trial(self) -> Trial | None:
        """The time to try it for nothing, as the price list has it; None where there is none."""
        return read_trial(self.plans_file)

    @property
    def redis(self) -> str:
        """Redis as one address, or '' when there is none."""
        if not self.redis_enabled:
            return ""
        if url := self.redis_url.get_secret_value():
            return url
        if not self.redis_host:
            return ""
        password = self.redis_password.get_secret_value()
        login = f":{quote(password, safe='')}@" if password else ""
        return f"redis://{login}{self.redis_host}:{self.redis_port}/0"

    @property
    def session_secrets(self) -> tuple[str, ...]:
        """What the web app seals its sessions with, the newest first, as Auth.js reads them."""
        secrets = (
            self.auth_secret_3,
            self.auth_secret_2,
            self.auth_secret_1,
            self.nextauth_secret,
            self.auth_secret,
        )
        return tuple(one.get_secret_value() for one in secrets if one.get_secret_value())

    @property
    def checkout_base(self) -> str:
        """Where people reach our pages."""
        return self.public_url or self.webhook_url or f"http://127.0.0.1:{self.api_port}"

    @property
    def checkout_frame_ancestors(self) -> str:
        """Who may show the checkout page in a frame: the demo's phone, and nobody outside it."""
        return self.frame_ancestors if self.demo else "'none'"

    @property
    def only_tenant(self) -> str | None:
        """The one tenant this process serves, when started with CLIENT_ID."""
        return None if self.client_id in {"", "default"} else self.client_id

    @property
    def expects_test_payments(self) -> bool:
        """Whether payments must be test payments: as set, else as the key's prefix says."""
        if self.yookassa_test is not None:
            return self.yookassa_test
        return self.yookassa_secret_key.get_secret_value().startswith("test_")

    def refuse_short_secrets(self) -> None:
        """Refuse secrets that could be guessed; the demo, which nobody else reaches, takes any.

        Asked where they are used, since only there it is known whether that is the demo.

        Raises:
            BrokenSetting: a line for each.
        """
        asked = {"MIGRATION_SECRET": self.migration_secret, "CRON_SECRET": self.cron_secret}
        short = [
            f"{name}: needs at least {SHORTEST_SECRET_KEY} characters; make one with: "
            "openssl rand -base64 32"
            for name, value in asked.items()
            if 0 < len(value.get_secret_value()) < SHORTEST_SECRET_KEY
        ]
        if short and not self.demo:
            raise BrokenSetting("\n".join(short))

    def honours_legacy_sales(self, now: datetime) -> bool:
        """Whether payments made by the old sales bot still count at `now`."""
        until = self.legacy_sales_until
        if until is None:
            return False
        end = datetime(until.year, until.month, until.day, tzinfo=UTC) + timedelta(days=1)
        return now < end

    def require(self, *fields: str) -> None:
        """Refuse to go on without these; every missing one is named at once."""
        missing = [name for name in fields if not _filled(getattr(self, name))]
        if missing:
            lines = "\n".join(f"{_variable(name)}: is required and not set" for name in missing)
            raise BrokenSetting(lines)


def _check_address(address: str, *schemes: str) -> None:
    """Refuse an address of another kind, without a host or with an impossible port.

    Raises:
        ValueError: with the reason; the address, which may hold a password, is not repeated.
    """
    if not address:
        return
    if not address.startswith(tuple(f"{scheme}://" for scheme in schemes)):
        raise ValueError(f"must start with {'://, '.join(schemes)}://")
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise ValueError("its port is no number from 0 to 65535, or its host is wrong") from None
    if not parts.hostname:
        raise ValueError("has no host")


def _filled(value: object) -> bool:
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _variable(field: str) -> str:
    """Return the environment's name of a field (the first, where there are two)."""
    alias = (
        Settings.model_fields[field].validation_alias if field in Settings.model_fields else None
    )
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return alias if isinstance(alias, str) else field.upper()


def load() -> Settings:
    """Read the settings.

    Raises:
        BrokenSetting: one line per wrong setting, with its environment name; values, which may
            be secrets, are never repeated.
    """
    try:
        settings = Settings()  # pyright: ignore[reportCallIssue]  # fields come from the environment
    except UnicodeDecodeError as error:
        files = ", ".join(name for name in ENV_FILES if not _is_text(Path(name)))
        raise BrokenSetting(f"{files}: is not UTF-8 text; save it as such") from error
    except ValidationError as error:
        lines = [f"{_variable(str(e['loc'][0]))}: {_reason(e['msg'])}" for e in error.errors()]
        raise BrokenSetting("\n".join(lines)) from None
    _ = settings.plans
    return settings


def _is_text(path: Path) -> bool:
    try:
        path.read_bytes().decode()
    except FileNotFoundError:
        return True
    except UnicodeDecodeError:
        return False
    return True


def _reason(message: str) -> str:
    return message.removeprefix("Value error, ")
