"""Logging, metrics and readiness: at the bottom, for every room.

Personal data and secrets never reach a log: what is logged are ids, kinds, counts and durations.
"""

import logging
import logging.handlers
import os
import re
import socket
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import structlog
from prometheus_client import Counter, Histogram

from zapisano.errors import AppError, BrokenSetting

HTTP_REQUESTS = Counter(
    "zapisano_http_requests",
    "Answers over HTTP; status 0: none was sent.",
    ["method", "route", "status"],
)
NOTIFICATIONS = Counter(
    "zapisano_notifications",
    "YooKassa's notifications: received, and of these accepted (new, to be handled), duplicate or "
    "ignored (of no interest); foreign (sender), limited (too many of one sender), malformed.",
    ["outcome"],
)
ACKNOWLEDGED_SECONDS = Histogram(
    "zapisano_notification_ack_seconds", "From a notification's first byte to its commit."
)
YOOKASSA_ANSWERS = Counter(
    "zapisano_yookassa_answers", "Answers of YooKassa's API; 0: none came.", ["method", "status"]
)

# A Telegram token, a server key, a bearer or a basic credential, wherever a library may have put
# one.
SECRET = re.compile(
    r"\d{6,12}:[A-Za-z0-9_-]{30,}"
    r"|zk_[0-9a-f]{16}_[A-Za-z0-9_-]+"
    r"|(?i:bearer|basic) [A-Za-z0-9+/=._-]{8,}"
)
HIDDEN = "•••"


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger; an event is a short name and fields: `log.info("order_paid", order=…)`."""
    return structlog.stdlib.get_logger(name)


def configure_logging(
    *, as_json: bool, file: Path | None = None, level: int = logging.INFO
) -> None:
    """Send every record, ours and the libraries', through one formatter that hides secrets."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(_frames),
        hide_secrets,
    ]
    last = structlog.processors.JSONRenderer(ensure_ascii=False) if as_json else _for_people()
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last],
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=_handlers(formatter, file), level=level, force=True)
    quiet = ("httpx", "httpcore", "aiogram.event", "uvicorn.access", "pgqueuer", "alembic")
    for noisy in quiet:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _for_people() -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _handlers(formatter: logging.Formatter, file: Path | None) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file:
        handlers.append(_rotating(file))
    for handler in handlers:
        handler.setFormatter(formatter)
    return handlers


def _rotating(file: Path) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return logging.handlers.RotatingFileHandler(
            file, maxBytes=10_000_000, backupCount=5, encoding="utf-8"
        )
    except OSError as error:
        raise BrokenSetting(
            f"ZAPISANO_LOG_FILE: {file} cannot be written ({error.strerror}); choose another"
        ) from error


def hide_secrets(
    _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Replace whatever looks like a credential in any text of the record."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = SECRET.sub(HIDDEN, value)
    return event


ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def _frames(exc_info: ExcInfo) -> str:
    """Write a traceback without the errors' own words: those repeat what people have written.

    A database's detail holds the row, a parser's message the input. Our own errors may speak.
    """
    return "\n".join(_told(exc_info[1]))


def _told(error: BaseException) -> Iterator[str]:
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if before:
        yield from _told(before)
        yield "which led to:"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    yield _named(error)
    for one in getattr(error, "exceptions", ()):  # of a group
        yield "among them:"
        yield from _told(one)


def _named(error: BaseException) -> str:
    """Name the class, and what may be said beside it: our own words, a constraint."""
    name = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    known = error.detail if isinstance(error, AppError) else getattr(error, "constraint_name", "")
    return f"{name}: {known}" if known else name


PATIENCE_SECONDS = 2.0  # with a supervisor whose queue is full


def tell_supervisor(state: str) -> None:
    """Speak systemd's `sd_notify` protocol (`READY=1`, `STATUS=…`) where somebody listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    # A supervisor that is gone needs no word, and one that does not listen must not hold us up.
    with suppress(OSError):
        if address:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
                notify.settimeout(PATIENCE_SECONDS)
                notify.sendto(state.encode(), _unix_address(address))


def _unix_address(name: str) -> str:
    """Return a socket's address; systemd writes `@` for the zero byte an abstract one begins with.

    Source: `sd_notify(3)`. A folder's name may hold an `@` as well.
    """
    return f"\0{name[1:]}" if name.startswith("@") else name
