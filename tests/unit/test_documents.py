"""What the documents name is there: commands, targets, files. Nothing odd is in the repository."""

import re
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from zapisano.cli import app

ROOT = Path(__file__).resolve().parents[2]
READMES = ("README.md", "README.ru.md")
DOCUMENTS = (*READMES, "CONTRIBUTING.md", "CHANGELOG.md", "docs/guides/booking.md")
COMMAND = re.compile(r"zapisano ([a-z]+)(?: (list|show|create|api|webhook)\b)?")
LINK = re.compile(r"\]\(([^)#:]+)\)")
# Another machine's traces: package mirrors, home and work folders.
ODD = re.compile(r"--(?:extra-)?index-url|/simple/|(?<![\w.])/(?:root|work|mnt|Users)/[a-z]")
LEFTOVERS = (".orig", ".rej", ".bak", ".swp", "~", ".DS_Store", ".log", ".pyc", ".sqlite3")


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("left out: this is no clone")
    return [name for name in listed.stdout.split("\0") if name]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_are_there(document: str) -> None:
    text = (ROOT / document).read_text()
    help_text = CliRunner().invoke(app, ["--help"]).output
    for name, more in set(COMMAND.findall(text)):
        assert re.search(rf"\b{name}\b", help_text), f"zapisano {name}"
        if more:
            told = CliRunner().invoke(app, [name, "--help"]).output
            assert more in told, f"zapisano {name} {more}"
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)(?=`|$|  )", text, re.MULTILINE)) <= targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    folder = (ROOT / document).parent
    broken = [
        link for link in LINK.findall((ROOT / document).read_text()) if not (folder / link).exists()
    ]
    assert broken == []


def test_both_readmes_say_the_same() -> None:
    english, russian = ((ROOT / name).read_text() for name in READMES)
    for pattern in (r"^#+", r"`([A-Z_]{5,})`", r"^ *(?:zapisano|make) \w+", r"\]\((docs|src)/"):
        both = [re.findall(pattern, text, re.MULTILINE) for text in (english, russian)]
        assert both[0] == both[1], pattern


def test_nothing_odd_is_kept() -> None:
    wrong: list[str] = []
    for name in tracked():
        if name.endswith(LEFTOVERS):
            wrong.append(name)
        path = ROOT / name
        if name == "tests/unit/test_documents.py" or not path.is_file():
            continue
        content = path.read_bytes()
        if b"\0" not in content and (found := ODD.search(content.decode())):
            wrong.append(f"{name}: {found[0]}")
    assert wrong == []
