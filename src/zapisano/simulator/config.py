"""The simulator's own settings, read once from its environment."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

PREFIX = "SIMULATOR_"
DEFAULTS = {
    "PORT": "8002",
    "DIR": ".zapisano/simulator",
    "SALES_BOT_TOKEN": "",
    "SALES_BOT_USERNAME": "zapisano_sales_bot",
    "SALES_BOT_NAME": "Записано",
    "YOOKASSA_SHOP_ID": "100500",
    "YOOKASSA_SECRET_KEY": "test_simulator",
    "YOOKASSA_NOTIFY_URL": "http://127.0.0.1:8001/webhook/yookassa",
    "PUBLIC_URL": "",
    "STORY_URL": "",
    "STORY_TOKEN": "",
}


@dataclass(frozen=True)
class Config:
    """Where the simulator keeps its state, whom it plays and whom it notifies."""

    port: int
    folder: Path
    sales_bot_token: str
    sales_bot_username: str
    sales_bot_name: str
    yookassa_shop_id: str
    yookassa_secret_key: str
    yookassa_notify_url: str
    public_url: str
    story_url: str
    story_token: str

    @classmethod
    def from_environment(cls) -> Self:
        """Read `SIMULATOR_*`; every key has a default that works on a bare machine."""
        value = {key: os.environ.get(PREFIX + key, default) for key, default in DEFAULTS.items()}
        folder = Path(value["DIR"])
        folder.mkdir(parents=True, exist_ok=True)
        return cls(
            port=int(value["PORT"]),
            folder=folder,
            sales_bot_token=value["SALES_BOT_TOKEN"],
            sales_bot_username=value["SALES_BOT_USERNAME"],
            sales_bot_name=value["SALES_BOT_NAME"],
            yookassa_shop_id=value["YOOKASSA_SHOP_ID"],
            yookassa_secret_key=value["YOOKASSA_SECRET_KEY"],
            yookassa_notify_url=value["YOOKASSA_NOTIFY_URL"],
            public_url=value["PUBLIC_URL"] or f"http://127.0.0.1:{value['PORT']}",
            story_url=value["STORY_URL"],
            story_token=value["STORY_TOKEN"],
        )
