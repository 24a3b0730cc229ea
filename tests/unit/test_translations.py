"""The catalogues: fresh, complete, and true to the source."""

import io
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

BOTS = Path(__file__).resolve().parents[2] / "src" / "zapisano" / "bots"
DOMAINS = ("sales", "booking")
REMEDY = "run `make translations`, then translate what is new"


def catalogue(language: str, domain: str) -> Catalog:
    with (BOTS / "locales" / language / "LC_MESSAGES" / f"{domain}.po").open("rb") as file:
        return read_po(file, locale=language)


def in_source(domain: str) -> set[str | tuple[str, ...]]:
    folder = BOTS / "booking" if domain == "booking" else BOTS

    def wanted(path: str) -> bool:
        return domain == "booking" or Path(path).name != "booking"

    found = extract_from_dir(folder, directory_filter=wanted)
    return {tuple(m[2]) if isinstance(m[2], tuple) else m[2] for m in found}


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("language", ["ru", "en"])
def test_the_compiled_file_is_fresh(language: str, domain: str) -> None:
    made = io.BytesIO()
    write_mo(made, catalogue(language, domain))
    compiled = BOTS / "locales" / language / "LC_MESSAGES" / f"{domain}.mo"
    assert compiled.read_bytes() == made.getvalue(), REMEDY


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("language", ["ru", "en"])
def test_the_catalogue_holds_what_the_source_says(language: str, domain: str) -> None:
    held = {
        tuple(m.id) if isinstance(m.id, tuple | list) else m.id
        for m in catalogue(language, domain)
        if m.id
    }
    assert held == in_source(domain), REMEDY


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_text_is_in_russian_with_the_same_places_to_fill(domain: str) -> None:
    wrong: list[object] = []
    for message in catalogue("ru", domain):
        if not message.id:
            continue
        texts = message.string if isinstance(message.string, tuple | list) else (message.string,)
        original = message.id if isinstance(message.id, str) else message.id[0]
        if (
            not all(texts)
            or message.fuzzy
            or any(places(t or "") != places(original) for t in texts)
        ):
            wrong.append(message.id)
    assert wrong == [], REMEDY


def places(text: str) -> set[str]:
    """The names in braces."""
    return {part.partition("}")[0] for part in text.split("{")[1:]}
