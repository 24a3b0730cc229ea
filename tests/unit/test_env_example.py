"""`.env.example` is the list of settings: all of them, none other, each with its true default."""

import re
from pathlib import Path

import pytest
from pydantic import AliasChoices

from zapisano.settings import Settings, load
from zapisano.stack.config import SIMULATOR_PORT

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
LINE = re.compile(r"^#([A-Z0-9_]+)=(.*)$", re.MULTILINE)


def names(field: str) -> set[str]:
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return {str(choice) for choice in alias.choices}
    return {alias if isinstance(alias, str) else field.upper()}


def test_it_lists_every_setting_once_and_none_other() -> None:
    listed = [name for name, _ in LINE.findall(EXAMPLE.read_text())]
    known = set[str]().union(*map(names, Settings.model_fields)) | {SIMULATOR_PORT}
    assert sorted(listed) == sorted(known)


def test_as_it_is_it_changes_nothing() -> None:
    lines = EXAMPLE.read_text().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


def test_what_it_shows_are_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        for name in names(field):
            monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    default = load()
    uncommented = "\n".join(f"{name}={value}" for name, value in LINE.findall(EXAMPLE.read_text()))
    (tmp_path / ".env").write_text(uncommented, encoding="utf-8")
    assert load() == default
