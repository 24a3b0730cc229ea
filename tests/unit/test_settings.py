"""Settings: every problem in one go, each line with its name, and no value repeated."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from zapisano.errors import BrokenSetting
from zapisano.settings import Settings, load

SECRET = "do-not-show-me"


@pytest.fixture(autouse=True)
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for field in Settings.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
        monkeypatch.delenv(f"ZAPISANO_{field.upper()}", raising=False)
    monkeypatch.delenv("POSTGRES_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SALES_BOT_TOKEN", SECRET),
        ("REDIS_URL", f"foo://{SECRET}"),
        ("REDIS_URL", f"redis://:{SECRET}@127.0.0.1:notaport"),
        ("REDIS_PORT", "99999"),
        ("TELEGRAM_PROXY", f"{SECRET}@proxy:3128"),
        ("TELEGRAM_API_BASE", "https://"),
        ("YOOKASSA_API_URL", "https://example.org:99999/v3"),
        ("ZAPISANO_API_PORT", "abc"),
        ("ZAPISANO_SECRET_KEY", SECRET),
        ("ZAPISANO_TIME_ZONE", "Mars/Base"),
        ("ZAPISANO_PLANS_FILE", "/nowhere/plans.toml"),
        ("ZAPISANO_TRUSTED_PROXIES", "10.0.0.0/99"),
        ("WEBHOOK_URL", "ftp://example.org"),
        ("CLIENT_ID", "x'; y"),
        ("YOOKASSA_SENDER_CHECK", "maybe"),
        ("YOOKASSA_AUTOPAY", "maybe"),
        ("YOOKASSA_RECEIPTS", "on"),
        ("YOOKASSA_VAT_CODE", "13"),
        ("YOOKASSA_TAX_SYSTEM", "0"),
        ("LEGACY_SALES_UNTIL", "soon"),
        ("CREDITS_ORIGINS", "*"),
        ("CREDITS_ORIGINS", "https://app.example.com/path"),
        ("CREDITS_ORIGINS", "https://app.example.com,null"),
        ("CREDITS_OPENING", "50.001"),
        ("CREDITS_WEBHOOK_SECRET", SECRET),
        ("CREDITS_WEBHOOK_SECRET", f"whsec_{'A' * 30}{SECRET}"),
        ("CREDITS_WEBHOOK_SECRET", f"whsec_{'A' * 100}"),
    ],
)
def test_a_broken_setting_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BrokenSetting) as caught:
        load()
    assert caught.value.detail.startswith(f"{name}: ")
    assert "\n" not in caught.value.detail
    assert SECRET not in caught.value.detail


def test_short_secrets_are_for_the_demo_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIGRATION_SECRET", SECRET)
    monkeypatch.setenv("CRON_SECRET", SECRET)
    with pytest.raises(BrokenSetting) as caught:
        load().refuse_short_secrets()
    lines = caught.value.detail.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["MIGRATION_SECRET", "CRON_SECRET"]
    assert SECRET not in caught.value.detail
    monkeypatch.setenv("ZAPISANO_DEMO", "true")
    load().refuse_short_secrets()


def test_receipts_need_the_operators_taxes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YOOKASSA_RECEIPTS", "on")
    monkeypatch.setenv("YOOKASSA_VAT_CODE", "12")
    with pytest.raises(BrokenSetting, match="need YOOKASSA_TAX_SYSTEM"):
        load()
    monkeypatch.setenv("YOOKASSA_TAX_SYSTEM", "2")
    settings = load()
    assert settings.yookassa_receipts
    assert (settings.yookassa_vat_code, settings.yookassa_tax_system) == (12, 2)


NEON = "us-east-2.aws.neon.tech/credits?sslmode=require&channel_binding=require"


@pytest.mark.parametrize(
    ("written", "used"),
    [
        (f"alex:a@ep-cool-darkness-123456-pooler.{NEON}", f"alex:a@ep-cool-darkness-123456.{NEON}"),
        (f"alex:a@ep-cool-darkness-123456.{NEON}", f"alex:a@ep-cool-darkness-123456.{NEON}"),
        ("ep-a-pooler.x:y@pg-pooler.example.org/x", "ep-a-pooler.x:y@pg-pooler.example.org/x"),
    ],
)
def test_of_neons_two_hosts_the_direct_one_is_used(
    written: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_URL", f"postgresql://{written}")
    assert load().database_url.get_secret_value() == f"postgresql://{used}"


def test_webhooks_are_never_sent_unsigned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDITS_WEBHOOK_URL", "https://app.example.org/hook")
    with pytest.raises(BrokenSetting, match=r"^CREDITS_WEBHOOK_SECRET: "):
        load()
    monkeypatch.setenv("CREDITS_WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert load().credits_webhook_url == "https://app.example.org/hook"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x = 1",
        b"\xff\xfe",
        b'[1m]\nname = "1"\ndays = 30\nprice = "NaN"',
        b'[1m]\nname = "1"\ndays = 30\nprice = "Infinity"',
        b'[1m]\nname = "1"\ndays = 0\nprice = 1',
        b'[1m]\nname = "1"\ndays = 30',
    ],
)
def test_a_broken_price_list_is_one_line(
    content: bytes, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "plans.toml").write_bytes(content)
    monkeypatch.setenv("ZAPISANO_PLANS_FILE", str(bare / "plans.toml"))
    with pytest.raises(BrokenSetting) as caught:
        load()
    assert caught.value.detail.startswith("ZAPISANO_PLANS_FILE: ")
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize(
    "wrong",
    ["days = 0", "days = 10000000", "price = -1", "price = nan", "price = 1e9", "price = 1.999"],
)
def test_a_price_list_that_could_not_be_kept_is_refused(
    bare: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    given = {"days": "days = 30", "price": "price = 299", wrong.partition(" ")[0]: wrong}
    (bare / "plans.toml").write_text('[1m]\nname = "1 месяц"\n' + "\n".join(given.values()))
    monkeypatch.setenv("ZAPISANO_PLANS_FILE", str(bare / "plans.toml"))
    with pytest.raises(BrokenSetting, match=r"plan \[1m\]: days must be 1 to 3660"):
        _ = load().plans


@pytest.mark.parametrize(
    ("plan_id", "name"), [("1:m", "1 месяц"), ("m" * 17, "1 месяц"), ("1m", " "), ("1m", "м" * 65)]
)
def test_a_plan_that_no_button_could_show_is_refused(
    bare: Path, monkeypatch: pytest.MonkeyPatch, plan_id: str, name: str
) -> None:
    (bare / "plans.toml").write_text(f'["{plan_id}"]\nname = "{name}"\ndays = 30\nprice = 1')
    monkeypatch.setenv("ZAPISANO_PLANS_FILE", str(bare / "plans.toml"))
    with pytest.raises(BrokenSetting, match=r"its id must match .* its name have 1 to 64"):
        _ = load().plans


PLAN = '[1m]\nname = "1 месяц"\ndays = 30\nprice = 299\n'


@pytest.mark.parametrize(
    ("table", "days"),
    [
        ("", None),
        ('[trial]\nname = "Проба"\ndays = 7', 7),
        ('[trial]\nname = "Проба"\ndays = 7\non = false', None),
    ],
)
def test_a_trial_is_offered_where_the_price_list_has_it(
    bare: Path, monkeypatch: pytest.MonkeyPatch, table: str, days: int | None
) -> None:
    (bare / "plans.toml").write_text(PLAN + table)
    monkeypatch.setenv("ZAPISANO_PLANS_FILE", str(bare / "plans.toml"))
    settings = load()
    assert list(settings.plans) == ["1m"]
    assert (settings.trial.days if settings.trial else None) == days


@pytest.mark.parametrize(
    "table",
    [
        "[trial]\ndays = 7",
        '[trial]\nname = "x"\ndays = 0',
        '[trial]\nname = "x"\ndays = 7\non = "no"',
        "trial = 7",
    ],
)
def test_a_trial_that_is_not_complete_is_refused(
    bare: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    (bare / "plans.toml").write_text(table + "\n" + PLAN)
    monkeypatch.setenv("ZAPISANO_PLANS_FILE", str(bare / "plans.toml"))
    with pytest.raises(BrokenSetting, match=r"^ZAPISANO_PLANS_FILE: \[trial\]"):
        load()


@pytest.mark.parametrize("wrong", ["0", "-1", "2.5", '"250"', "true", "100001"])
def test_a_price_in_stars_is_a_whole_number(
    bare: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    (bare / "plans.toml").write_text(f'[1m]\nname = "1"\ndays = 30\nprice = 1\nstars = {wrong}')
    monkeypatch.setenv("ZAPISANO_PLANS_FILE", str(bare / "plans.toml"))
    with pytest.raises(BrokenSetting, match=r"plan \[1m\]: stars must be a whole number"):
        _ = load().plans


def test_stars_count_only_where_they_are_on_and_priced(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = bare / "plans.toml"
    plans.write_text('[1m]\nname = "1"\ndays = 30\nprice = 1\nstars = 250\n')
    monkeypatch.setenv("ZAPISANO_PLANS_FILE", str(plans))
    assert load().stars_price("1m") is None
    monkeypatch.setenv("TELEGRAM_STARS", "on")
    assert (load().stars_price("1m"), load().stars_price("2w")) == (250, None)
    bare_plans = bare / "roubles.toml"
    bare_plans.write_text('[1m]\nname = "1"\ndays = 30\nprice = 1\n')
    monkeypatch.setenv("ZAPISANO_PLANS_FILE", str(bare_plans))
    with pytest.raises(BrokenSetting, match="TELEGRAM_STARS: is on, and no plan has a price"):
        _ = load().plans


def test_a_file_of_settings_that_is_no_text_is_named(bare: Path) -> None:
    (bare / ".env").write_bytes(b"WEBHOOK_URL=\xff\xfe")
    with pytest.raises(BrokenSetting, match=r"^\.env: is not UTF-8"):
        load()


def test_all_problems_come_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAPISANO_API_PORT", "0")
    monkeypatch.setenv("ZAPISANO_TIME_ZONE", "Mars/Base")
    with pytest.raises(BrokenSetting) as caught:
        load()
    assert len(caught.value.detail.splitlines()) == 2


def test_what_is_missing_is_named_when_it_is_needed() -> None:
    with pytest.raises(BrokenSetting, match=r"DATABASE_URL: .*\n.*ZAPISANO_SECRET_KEY: "):
        load().require("database_url", "secret_key")


def test_files_are_read_and_the_environment_is_stronger(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare / "sales_bot").mkdir()
    (bare / ".env").write_text("YOOKASSA_SHOP_ID=1\nREDIS_HOST=one\nCLIENT_ID=client_001\n")
    (bare / ".env.local").write_text("YOOKASSA_SHOP_ID=2\n")
    (bare / "sales_bot" / ".env").write_text("YOOKASSA_SHOP_ID=3\nUNKNOWN=kept out\n")
    assert load().yookassa_shop_id == "3"
    monkeypatch.setenv("YOOKASSA_SHOP_ID", "4")
    settings = load()
    assert (settings.yookassa_shop_id, settings.only_tenant) == ("4", "client_001")
    assert settings.redis == "redis://one:6379/0"


def test_the_guides_two_names_of_the_database_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_URL", "postgresql://u@h/d")
    assert load().database_url.get_secret_value() == "postgresql://u@h/d"


def test_redis_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://h:1/0")
    monkeypatch.setenv("REDIS_ENABLED", "false")
    assert load().redis == ""


def test_old_sales_count_until_the_end_of_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not load().honours_legacy_sales(datetime(2026, 1, 1, tzinfo=UTC))
    monkeypatch.setenv("LEGACY_SALES_UNTIL", "2026-03-01")
    settings = load()
    assert settings.honours_legacy_sales(datetime(2026, 3, 1, 23, 59, tzinfo=UTC))
    assert not settings.honours_legacy_sales(datetime(2026, 3, 2, tzinfo=UTC))
